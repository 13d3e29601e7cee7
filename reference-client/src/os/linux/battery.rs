//! Whether this machine runs on its battery.

use std::fs;
use std::path::Path;

const SUPPLIES: &str = "/sys/class/power_supply";

/// Whether a battery is being discharged. Where that cannot be told, it is not.
pub(crate) fn is_on_battery() -> bool {
    is_discharging(Path::new(SUPPLIES))
}

fn is_discharging(supplies: &Path) -> bool {
    let Ok(entries) = fs::read_dir(supplies) else { return false };
    entries.flatten().any(|supply| {
        let says = |file: &str, word: &str| {
            fs::read_to_string(supply.path().join(file)).is_ok_and(|text| text.trim() == word)
        };
        // A mouse has a battery, too, but its scope is a device.
        says("type", "Battery") && says("status", "Discharging") && !says("scope", "Device")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(folder: &Path, name: &str, files: &[(&str, &str)]) {
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        for (file, text) in files {
            fs::write(folder.join(file), format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn only_a_battery_of_the_machine_that_is_discharged_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_discharging(&folder.path().join("absent")));
        supply(folder.path(), "AC", &[("type", "Mains"), ("online", "0")]);
        let mouse = [("type", "Battery"), ("status", "Discharging"), ("scope", "Device")];
        supply(folder.path(), "mouse", &mouse);
        supply(folder.path(), "BAT0", &[("type", "Battery"), ("status", "Charging")]);
        assert!(!is_discharging(folder.path()));
        supply(folder.path(), "BAT1", &[("type", "Battery"), ("status", "Discharging")]);
        assert!(is_discharging(folder.path()));
    }
}
