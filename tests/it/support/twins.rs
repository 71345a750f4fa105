//! Serves twins to tests that are not async, and to other processes, over HTTP or HTTPS.
//!
//! The runtime is shared by the whole test process; a twin stops when its handle is dropped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use twins::kit::{Authority, Hub, Running, Tls, start};

use super::http::block_on;

/// Serves a twin over plain HTTP on a free port of loopback.
pub fn serve(hub: &Arc<Hub>) -> Running {
    let hub = Arc::clone(hub);
    block_on(async move { start(hub, ([127, 0, 0, 1], 0).into(), Tls::Off).await })
        .unwrap_or_else(|error| panic!("a twin cannot listen on loopback: {error}"))
}

/// Serves a twin over HTTPS on a free port of loopback, with a certificate of [`authority`].
pub fn serve_https(hub: &Arc<Hub>) -> Running {
    let hub = Arc::clone(hub);
    block_on(async move { start(hub, ([127, 0, 0, 1], 0).into(), Tls::By(authority())).await })
        .unwrap_or_else(|error| panic!("a twin cannot listen on loopback: {error}"))
}

/// The certificate authority of this test process.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        Authority::new().unwrap_or_else(|error| panic!("no certificate authority can be made: {error}"))
    })
}

/// Writes the authority's certificate into a folder, for programs that take a file of trusted certificates.
pub fn write_authority(folder: &Path) -> PathBuf {
    let path = folder.join("authority.pem");
    authority().export(&path).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    path
}
