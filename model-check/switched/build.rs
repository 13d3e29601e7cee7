//! Copies the source of `rejoin-protocol` and puts every mutant into the copy.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use rejoin_edits::{Mutant, mutants, switch};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SOURCE: &str = "../../protocol/src";
const MUTANTS: &str = "../mutants";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed={MUTANTS}");
    match make() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn make() -> Outcome<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mutants = all_mutants()?;
    let numbered: Vec<_> = (1..).zip(&mutants).collect();
    let mut files = BTreeSet::new();
    for path in files_below(Path::new(SOURCE))? {
        let file = path.strip_prefix(SOURCE)?.to_string_lossy().replace('\\', "/");
        let mut text = switch(&file, &fs::read_to_string(&path)?, &numbered)?;
        if file == "lib.rs" {
            text = without_inner_attributes(&text);
        }
        let copy = out.join("machines").join(&file);
        fs::create_dir_all(copy.parent().ok_or("a file is in a folder")?)?;
        fs::write(copy, text)?;
        files.insert(file);
    }
    for mutant in &mutants {
        let missing = mutant.edits.iter().find(|edit| !files.contains(&edit.file));
        if let Some(edit) = missing {
            return Err(format!("{}: there is no file {SOURCE}/{}", mutant.name, edit.file).into());
        }
    }
    fs::write(out.join("mutants.rs"), list(&numbered)?)?;
    Ok(())
}

/// The mutants of all lists. No two have the same name.
fn all_mutants() -> Outcome<Vec<Mutant>> {
    let (mut all, mut names) = (Vec::new(), BTreeSet::new());
    for path in files_below(Path::new(MUTANTS))? {
        let read =
            mutants(&fs::read_to_string(&path)?).map_err(|error| error.of(path.display()))?;
        for mutant in read {
            if !names.insert(mutant.name.clone()) {
                return Err(format!("two mutants have the name {}", mutant.name).into());
            }
            all.push(mutant);
        }
    }
    Ok(all)
}

/// In an order that does not depend on the file system.
fn files_below(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file that is included must not begin with attributes of its crate.
fn without_inner_attributes(text: &str) -> String {
    let is_outer = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
    text.lines().filter(is_outer).flat_map(|line| [line, "\n"]).collect()
}

/// The mutants as the value of a constant.
fn list(numbered: &[(usize, &Mutant)]) -> Result<String, std::fmt::Error> {
    let mut list = "&[\n".to_owned();
    for (number, Mutant { name, rule, fault, unseen, edits }) in numbered {
        let files: BTreeSet<&str> = edits.iter().map(|edit| &*edit.file).collect();
        let files: Vec<&str> = files.into_iter().collect();
        writeln!(
            list,
            "MachineMutant {{ number: {number}, name: {name:?}, rule: {rule}, fault: {fault:?}, \
             unseen: {unseen:?}, files: &{files:?} }},"
        )?;
    }
    Ok(list + "]\n")
}
