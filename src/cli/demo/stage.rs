//! The stage: three twins on loopback, a folder with the shipped config, and `tallysync` as a child process.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use twins::kit::{Effect, Fault, Running, Tls, When, start};
use twins::netsuite::NetsuiteTwin;
use twins::salesforce::SalesforceTwin;
use twins::tallyfy::TallyfyTwin;

/// The shipped config; only addresses, credentials and the call budget are overridden, by environment.
const SYNC_TOML: &str = include_str!("../../../sync.toml");
const GATE: &str = "launch";

/// Everything the demo runs on.
pub struct Stage {
    dir: PathBuf,
    /// Tallyfy.
    pub tallyfy: TallyfyTwin,
    /// The ERP.
    pub erp: NetsuiteTwin,
    /// The CRM.
    pub crm: SalesforceTwin,
    served: Vec<Running>,
    environment: Vec<(String, String)>,
}

impl Stage {
    /// Starts the twins and prepares the folder; an older demo's state file is taken away.
    ///
    /// # Errors
    /// When a port or the folder cannot be had.
    pub async fn set(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("the folder {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        for name in ["state.db", "state.db-wal", "state.db-shm", "state.db.lock"] {
            match std::fs::remove_file(dir.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    bail!("{name} of an older demo: {error}")
                }
                _ => {}
            }
        }
        std::fs::write(dir.join("sync.toml"), SYNC_TOML)?;
        let tallyfy = TallyfyTwin::with_order_approval();
        let erp = NetsuiteTwin::with_sales_orders();
        let crm = SalesforceTwin::with_opportunities();
        let anywhere = "127.0.0.1:0".parse().context("loopback")?;
        let served = vec![
            start(std::sync::Arc::clone(&tallyfy.hub), anywhere, Tls::Off).await?,
            start(std::sync::Arc::clone(&erp.hub), anywhere, Tls::Off).await?,
            start(std::sync::Arc::clone(&crm.hub), anywhere, Tls::Off).await?,
        ];
        let tokens = [&tallyfy.token, &erp.token, &crm.token];
        let mut environment = Vec::new();
        for ((name, twin), token) in ["TALLYFY", "ERP", "CRM"].iter().zip(&served).zip(tokens) {
            let set =
                |key: &str, value: &str| (format!("TALLYSYNC_SYSTEMS__{name}__{key}"), value.to_owned());
            environment.push(set("BASE_URL", &twin.base_url));
            environment.push(set("AUTH__KIND", "token"));
            environment.push(set("AUTH__TOKEN", token));
            environment.push(set("BUDGET__PER_MINUTE", "6000"));
        }
        let stage = Self { dir, tallyfy, erp, crm, served, environment };
        stage.seed()?;
        Ok(stage)
    }

    fn seed(&self) -> Result<()> {
        let orders = [
            ("SO-1001", "25000.00", "2027-02-01", "Fragile"),
            ("SO-1002", "12500.50", "2027-02-10", "Call before delivery"),
            ("SO-1003", "800.00", "2027-02-11", ""),
            ("SO-1004", "48000.00", "2027-03-01", "Two pallets"),
        ];
        for (number, total, ship, memo) in orders {
            let amount: serde_json::Number = total.parse()?;
            self.erp
                .add_record(
                    "salesOrder",
                    &serde_json::json!({ "tranId": number, "total": amount, "shipDate": ship, "memo": memo }),
                )
                .map_err(anyhow::Error::msg)?;
        }
        for (number, total, ship, memo) in orders.iter().take(2) {
            let amount: serde_json::Number = total.parse()?;
            self.crm
                .add_record(
                    "Opportunity",
                    serde_json::json!({ "Name": format!("Deal {number}"), "ERP_Order__c": number, "Amount": amount,
                            "CloseDate": ship, "Description": memo, "StageName": "Prospecting" }),
                )
                .map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    /// The state file.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state.db")
    }

    /// A headline of the story.
    pub fn title(&self, text: &str) {
        println!("\n== {text}\n");
    }

    /// A sentence of the story.
    pub fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Runs a command, shows it with what it prints, and gives its output.
    ///
    /// # Errors
    /// When it ends with another exit code than expected.
    pub fn tallysync(&self, arguments: &[&str], expected: &[i32]) -> Result<String> {
        println!("\n$ tallysync {}", arguments.join(" "));
        let output = self.tallysync_quietly(arguments, expected)?;
        for line in output.lines() {
            println!("  {line}");
        }
        println!();
        Ok(output)
    }

    /// Runs a command without showing it.
    ///
    /// # Errors
    /// When it ends with another exit code than expected.
    pub fn tallysync_quietly(&self, arguments: &[&str], expected: &[i32]) -> Result<String> {
        let output = self.command(arguments)?.output().context("starting tallysync")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let code = output.status.code().unwrap_or(-1);
        ensure!(
            expected.contains(&code),
            "tallysync {} ended with {code}:\n{text}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// The rows that a command gives as JSON.
    ///
    /// # Errors
    /// When it fails or gives no list.
    pub fn rows(&self, arguments: &[&str]) -> Result<Vec<Map<String, Value>>> {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let text = self.tallysync_quietly(&arguments, &[0])?;
        let value: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?;
        let list = value.as_array().with_context(|| format!("no list: {text}"))?;
        Ok(list.iter().filter_map(|row| row.as_object().cloned()).collect())
    }

    fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.current_dir(&self.dir).args(arguments).envs(self.environment.iter().cloned());
        Ok(command)
    }

    /// Starts `sync`, waits until its launch has taken effect in Tallyfy but is not answered, and kills it.
    ///
    /// # Errors
    /// When the launch never comes.
    pub async fn kill_during_launch(&self) -> Result<()> {
        let hub = &self.tallyfy.hub;
        hub.fault(Fault::on("POST", "/runs", Effect::Hold { gate: GATE.to_owned(), when: When::After }));
        let mut command = tokio::process::Command::from(self.command(&["sync", "orders"])?);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let id = child.id().unwrap_or_default();
        println!("\n$ tallysync sync orders        # process {id}");
        let reached = tokio::select! {
            () = hub.gates.wait_until_held(GATE, 1) => true,
            ended = child.wait() => {
                ended?;
                false
            }
        };
        println!("$ kill -9 {id}\n");
        child.kill().await?;
        hub.gates.release_all();
        ensure!(reached, "the launch was never sent");
        Ok(())
    }

    /// How many requests that change something the twins have seen.
    pub fn writes_seen(&self) -> usize {
        let hubs = [&self.tallyfy.hub, &self.erp.hub, &self.crm.hub];
        hubs.iter()
            .map(|hub| {
                let world = hub.world();
                let changes = |method: &str, target: &str| {
                    method != "GET" && !(target.contains("/suiteql") || target.contains("/token"))
                };
                world.requests().iter().filter(|logged| changes(&logged.method, &logged.target)).count()
            })
            .sum()
    }

    /// Leaves the twins and a daemon running until Ctrl-C.
    ///
    /// # Errors
    /// When the daemon cannot be started.
    pub async fn play(self) -> Result<()> {
        let mut daemon = self.command(&["run"])?.spawn()?;
        println!("\nThe stand-ins and a daemon go on running; Ctrl-C ends them. Be a person in a system:");
        for (twin, path) in self.served.iter().zip(["runs", "salesOrder", "Opportunity"]) {
            println!("  curl {}/__twin/records/{path}", twin.base_url);
        }
        println!("  curl -X PATCH -d '{{\"memo\": \"by hand\"}}' <address>/__twin/records/salesOrder/ID");
        println!("Watch with (in {}):", self.dir.display());
        for (name, value) in &self.environment {
            println!("  export {name}='{value}'");
        }
        println!("  tallysync status");
        tokio::signal::ctrl_c().await?;
        // The daemon got the same Ctrl-C from the terminal; elsewhere it is ended here.
        daemon.kill()?;
        daemon.wait()?;
        Ok(())
    }
}
