//! Recordings of what the programs did, judged.

use std::fs;
use std::path::Path;

use rejoin_model_check::recording::{Recording, Report, check, replay};

use super::host::Host;

/// Steps everything that was recorded again, and judges it, once nothing runs any more.
#[track_caller]
pub(crate) fn judge(host: &Host) -> Report {
    host.until_clean();
    let folder = host.recordings().expect("it was recorded");
    let recordings = Recording::read_folder(&folder).unwrap_or_else(|error| panic!("{error}"));
    for recording in &recordings {
        replay(recording).unwrap_or_else(|difference| fail(&folder, &difference.to_string()));
    }
    let report = check(&recordings).unwrap_or_else(|found| fail(&folder, &found.to_string()));
    eprintln!("{report}");
    report
}

/// The host's folder goes with the test, and a failure is to be looked at.
#[track_caller]
fn fail(folder: &Path, what: &str) -> ! {
    let host = folder.parent().and_then(Path::file_name).unwrap_or_default();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failed-recordings").join(host);
    let _ = fs::create_dir_all(&kept);
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::copy(file.path(), kept.join(file.file_name()));
    }
    panic!("{what}\nkept in {}", kept.display());
}
