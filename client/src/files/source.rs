//! Teams files and folders of them, read with the place of every value.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use domain::{FieldError, Json, TeamsFile, read_json};

use super::yaml::{YamlDocument, read_yaml};
use crate::error::ClientError;

/// Most bytes of all files.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Most files of a folder.
const MAX_FILES: usize = 500;
/// Most faults that are listed.
const MAX_FAULTS: usize = 50;

/// One document of a file.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    document: YamlDocument,
    file: TeamsFile,
}

/// The documents of all files, in the order of their names.
#[derive(Debug)]
pub(crate) struct Sources(Vec<Source>);

/// Reads a file, or all `.yaml` and `.yml` files of a folder.
///
/// # Errors
/// [`ClientError::Usage`] with every fault by file, line and column.
pub(crate) fn read_sources(path: &Path) -> Result<Sources, ClientError> {
    let mut left = MAX_BYTES;
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    for path in list_files(path)? {
        let text = read_text(&path, &mut left)?;
        match read_yaml(&text) {
            Ok(documents) => {
                for document in documents.into_iter().filter(|document| document.json != Json::Null) {
                    read_document(path.clone(), document, &mut sources, &mut faults);
                }
            }
            Err(fault) => {
                let (line, column) = (fault.place.line, fault.place.column);
                faults.push(format!("{}:{line}:{column}: {}", path.display(), fault.detail));
            }
        }
    }
    if !faults.is_empty() {
        return Err(refuse(&faults));
    }
    if sources.is_empty() {
        return Err(ClientError::Usage(format!("{} has no document", path.display())));
    }
    Ok(Sources(sources))
}

fn read_document(path: PathBuf, document: YamlDocument, sources: &mut Vec<Source>, faults: &mut Vec<String>) {
    let mut found = document.json.unclean_texts();
    match read_json::<TeamsFile>(document.json.clone()) {
        Ok(file) => {
            found.extend(file.check_patterns());
            sources.push(Source { path, document, file });
            if let Some(source) = sources.last() {
                faults.extend(found.iter().map(|error| source.fault(error)));
            }
        }
        Err(error) => {
            found.push(error);
            let source = Source { path, document, file: TeamsFile::default() };
            faults.extend(found.iter().map(|error| source.fault(error)));
        }
    }
}

impl Source {
    /// Returns the place of a value as `file:line:column`.
    fn place(&self, pointer: &str) -> String {
        let place = self.document.place(pointer);
        format!("{}:{}:{}", self.path.display(), place.line, place.column)
    }

    /// Returns a fault with its place.
    fn fault(&self, error: &FieldError) -> String {
        format!("{}: {}", self.place(&error.pointer), error.detail)
    }
}

impl Sources {
    /// Returns the documents for `POST /admin/apply`.
    pub(crate) fn documents(&self) -> Vec<TeamsFile> {
        let documents = self.0.iter().map(|source| TeamsFile { tests: Vec::new(), ..source.file.clone() });
        documents.collect()
    }

    /// Returns all documents as one.
    pub(crate) fn merged(&self) -> TeamsFile {
        let mut merged = TeamsFile::default();
        for source in &self.0 {
            merged.people.extend(source.file.people.iter().cloned());
            merged.teams.extend(source.file.teams.iter().cloned());
            merged.tests.extend(source.file.tests.iter().cloned());
        }
        merged
    }

    /// Returns the test cases, each with the text `file:line` of its place.
    pub(crate) fn cases(&self) -> impl Iterator<Item = (String, &domain::CaseEntry)> {
        self.0.iter().flat_map(|source| {
            source.file.tests.iter().enumerate().map(move |(at, case)| {
                let place = source.document.place(&format!("/tests/{at}"));
                (format!("{}:{}", source.path.display(), place.line), case)
            })
        })
    }

    /// Returns the place in the files of a value in a request, `/documents/N/…`, as `file:line:column`.
    pub(crate) fn place(&self, pointer: &str) -> Option<String> {
        let (number, rest) = match pointer.strip_prefix("/documents/")?.split_once('/') {
            Some((number, rest)) => (number, format!("/{rest}")),
            None => (pointer.strip_prefix("/documents/")?, String::new()),
        };
        let source = self.0.get(number.parse::<usize>().ok()?)?;
        Some(source.place(&rest))
    }
}

/// Returns faults as one error.
pub(crate) fn refuse(faults: &[String]) -> ClientError {
    let mut text = faults.iter().take(MAX_FAULTS).cloned().collect::<Vec<_>>().join("\n");
    if faults.len() > MAX_FAULTS {
        // Writing to a text never fails.
        let _ = write!(text, "\nand {} more", faults.len() - MAX_FAULTS);
    }
    ClientError::Usage(text)
}

fn list_files(path: &Path) -> Result<Vec<PathBuf>, ClientError> {
    let fault = |error: std::io::Error| ClientError::Usage(format!("{}: {error}", path.display()));
    if !fs::metadata(path).map_err(fault)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let file = entry.map_err(fault)?.path();
        let is_yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && file.is_file() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(ClientError::Usage(format!("{} has more than {MAX_FILES} files", path.display())));
        }
    }
    if files.is_empty() {
        return Err(ClientError::Usage(format!("{} has no .yaml file", path.display())));
    }
    files.sort();
    Ok(files)
}

fn read_text(path: &Path, left: &mut u64) -> Result<String, ClientError> {
    let fault = |detail: String| ClientError::Usage(format!("{}: {detail}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    let read = file.take(*left + 1).read_to_string(&mut text).map_err(|error| fault(error.to_string()))?;
    *left =
        left.checked_sub(read as u64).ok_or_else(|| fault("the files have more than 8 MiB".to_owned()))?;
    Ok(text)
}
