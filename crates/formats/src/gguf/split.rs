//! Models in several GGUF files, `NAME-00001-of-0000N.gguf`: any part leads to all of them.

use std::path::{Path, PathBuf};

use super::reader::{self, Part};
use super::value::GgufMetadata;
use crate::checkpoint::FileInfo;
use crate::error::{FormatError, Problem};
use crate::limits;
use crate::open::{self, Opened};

pub(crate) const NUMBER_KEY: &str = "split.no";
const COUNT_KEY: &str = "split.count";
const TENSORS_KEY: &str = "split.tensors.count";

/// Which part of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 0, as in the file.
    pub number: u32,
    pub count: u32,
}

/// The place that a part declares, `None` for a model in one file.
pub(crate) fn place(metadata: &GgufMetadata) -> Result<Option<Place>, FormatError> {
    let Some(count) = metadata.opt::<u32>(COUNT_KEY)?.filter(|&count| count > 1) else { return Ok(None) };
    if u64::from(count) > limits::PARTS {
        let problem =
            Problem::Limit { what: "the number of parts", value: count.into(), limit: limits::PARTS };
        return Err(FormatError::key(COUNT_KEY, problem));
    }
    let number = metadata.get::<u32>(NUMBER_KEY)?;
    if number >= count {
        let why = format!("part {number} (counted from 0) of a model with {count} parts cannot be");
        return Err(FormatError::key(NUMBER_KEY, Problem::Set(why)));
    }
    Ok(Some(Place { number, count }))
}

/// Reads the file, and where it is one of several parts, all parts; the metadata is that of the first.
pub(crate) fn read_all(opened: Opened) -> Result<(Part, Vec<FileInfo>), FormatError> {
    let given = read_part(&opened)?;
    let Some(own) = place(&given.metadata).map_err(|error| error.in_file(&opened.path))? else {
        return Ok((given, vec![opened.info()]));
    };
    let stem = Stem::of(&opened.path, own).map_err(|error| error.in_file(&opened.path))?;
    let mut whole: Option<Part> = None;
    let mut files = Vec::new();
    for number in 0..own.count {
        let path = stem.path(number);
        let opened = open::open_regular(&path, opened.access)?;
        let part = read_part(&opened)?;
        let found = place(&part.metadata).map_err(|error| error.in_file(&path))?;
        if found != Some(Place { number, ..own }) {
            let why =
                format!("is not part {} of {} by its {NUMBER_KEY} and {COUNT_KEY}", number + 1, own.count);
            return Err(FormatError::new(crate::error::Place::File, Problem::Set(why)).in_file(&path));
        }
        files.push(opened.info());
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => whole.tensors.append(part.tensors).map_err(|error| error.in_file(&path))?,
        }
    }
    let whole = whole.unwrap_or(given);
    check_total(&whole).map_err(|error| error.in_file(&stem.path(0)))?;
    Ok((whole, files))
}

fn read_part(opened: &Opened) -> Result<Part, FormatError> {
    let mut part = reader::read(&opened.bytes).map_err(|error| error.in_file(&opened.path))?;
    part.metadata.file = Some(opened.path.clone());
    Ok(part)
}

fn check_total(whole: &Part) -> Result<(), FormatError> {
    let Some(want) = whole.metadata.opt::<u64>(TENSORS_KEY)? else { return Ok(()) };
    let have = whole.tensors.len() as u64;
    if want != have {
        let why = format!("announces {want} tensors, but the parts hold {have}");
        return Err(FormatError::key(TENSORS_KEY, Problem::Set(why)));
    }
    Ok(())
}

/// What the names of all parts have in common.
struct Stem {
    folder: PathBuf,
    prefix: String,
    count: u32,
}

impl Stem {
    /// Takes the name of the part at `place` apart; the others are found by their names alone.
    fn of(path: &Path, place: Place) -> Result<Self, FormatError> {
        let suffix = suffix(place);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(prefix) = name.strip_suffix(&suffix) else {
            let why = format!(
                "is part {} of {} of a split model, and the other parts are found by name: this file's name must end \
                 in '{suffix}'",
                place.number + 1,
                place.count
            );
            return Err(FormatError::new(crate::error::Place::File, Problem::Set(why)));
        };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { folder, prefix: prefix.to_owned(), count: place.count })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{}{}", self.prefix, suffix(Place { number, count: self.count })))
    }
}

fn suffix(place: Place) -> String {
    format!("-{:05}-of-{:05}.gguf", place.number + 1, place.count)
}
