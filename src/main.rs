//! The program: a runtime and the command line, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two workers: the work is waiting for other systems; the state file has a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(tallysync::cli::run(std::env::args_os())),
        Err(error) => {
            eprintln!("the program cannot start its threads: {error}");
            ExitCode::FAILURE
        }
    }
}
