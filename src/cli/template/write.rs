//! Replacing a file as one step: whoever reads it sees the old text or the new, never half of one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// How a file is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// `None`: as the file that is there, else 0644.
    pub(crate) perms: Option<u32>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) create_dirs: bool,
    pub(crate) backup: bool,
}

/// A problem with a file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}: {cause}")]
pub(crate) struct WriteError {
    /// The file or its folder.
    pub(crate) path: PathBuf,
    what: &'static str,
    cause: io::Error,
}

fn failed<'a>(path: &'a Path, what: &'static str) -> impl FnOnce(io::Error) -> WriteError + 'a {
    move |cause| WriteError { path: path.to_owned(), what, cause }
}

/// The new text beside the file it is going to replace. Dropped, it goes away and the old file stays.
#[derive(Debug)]
pub(crate) struct Candidate {
    temp: Option<tempfile::NamedTempFile>,
    /// Where it goes: the end of any symbolic link, so that the link stays one.
    target: PathBuf,
    folder: PathBuf,
    backup: bool,
    old: Option<fs::Metadata>,
}

/// Is that text there already, with the permissions asked for?
pub(crate) fn is_current(path: &Path, text: &[u8], shape: &Shape) -> bool {
    let Ok(meta) = fs::metadata(path) else { return false };
    if meta.len() != text.len() as u64 || shape.perms.is_some_and(|perms| meta.mode() & 0o7777 != perms) {
        return false;
    }
    fs::read(path).is_ok_and(|there| there == text)
}

impl Candidate {
    /// Writes the new text next to the file, with the owner and permissions it will have, and onto the disk.
    pub(crate) fn write(path: &Path, text: &[u8], shape: &Shape) -> Result<Candidate, WriteError> {
        // a link is followed: the file it points to is replaced, as an editor would
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(_) => path.to_owned(),
        };
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        if !folder.exists() {
            if !shape.create_dirs {
                let cause = io::Error::from(io::ErrorKind::NotFound);
                return Err(failed(&folder, "the folder is not there, and create_dest_dirs is false")(cause));
            }
            fs::create_dir_all(&folder).map_err(failed(&folder, "cannot make the folder"))?;
        }
        let old = fs::metadata(&target).ok();
        if old.as_ref().is_some_and(fs::Metadata::is_dir) {
            let cause = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(failed(&target, "the destination is a folder; give a file name")(cause));
        }
        let mut temp = tempfile::Builder::new()
            .prefix(".crs-")
            .suffix(&suffix(&target))
            .tempfile_in(&folder)
            .map_err(failed(&folder, "cannot write beside the file"))?;
        temp.write_all(text).map_err(failed(&target, "cannot write the new text"))?;
        let mode = shape.perms.or_else(|| old.as_ref().map(|meta| meta.mode() & 0o7777)).unwrap_or(0o644);
        own(&temp, &target, old.as_ref(), shape)?;
        // after the change of owner, which clears set-id bits
        temp.as_file()
            .set_permissions(Permissions::from_mode(mode))
            .map_err(failed(&target, "cannot set permissions"))?;
        temp.as_file().sync_all().map_err(failed(&target, "cannot bring the new text onto the disk"))?;
        Ok(Candidate { temp: Some(temp), target, folder, backup: shape.backup, old })
    }

    /// Where the new text is until it is put in place.
    pub(crate) fn path(&self) -> &Path {
        self.temp.as_ref().map_or(&self.target, tempfile::NamedTempFile::path)
    }

    /// Puts it in place. Returns the old text, for going back.
    pub(crate) fn replace(mut self) -> Result<Option<Vec<u8>>, WriteError> {
        let before = match &self.old {
            Some(_) => fs::read(&self.target).ok(),
            None => None,
        };
        if self.backup && self.old.is_some() {
            self.keep_backup()?;
        }
        if let Some(temp) = self.temp.take() {
            temp.persist(&self.target)
                .map_err(|error| failed(&self.target, "cannot put the new file in place")(error.error))?;
        }
        // without this the old name could come back after a power cut
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(&self.folder, "cannot bring the folder onto the disk"))?;
        Ok(before)
    }

    /// `FILE.bak` is what was there; the one before goes to `FILE.old.bak`.
    fn keep_backup(&self) -> Result<(), WriteError> {
        let beside = |ending: &str| {
            let mut name = self.target.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        let (backup, older) = (beside(".bak"), beside(".old.bak"));
        if backup.exists() {
            fs::rename(&backup, &older).map_err(failed(&backup, "cannot keep the backup"))?;
        }
        // a link to the same file; where links are not possible, a copy
        if fs::hard_link(&self.target, &backup).is_err() {
            fs::copy(&self.target, &backup).map_err(failed(&backup, "cannot make the backup"))?;
        }
        Ok(())
    }
}

/// The ending of the file, so that checkers that go by it know what they see.
fn suffix(path: &Path) -> String {
    path.extension().map_or_else(String::new, |ending| format!(".{}", ending.to_string_lossy()))
}

fn own(
    temp: &tempfile::NamedTempFile,
    target: &Path,
    old: Option<&fs::Metadata>,
    shape: &Shape,
) -> Result<(), WriteError> {
    let user = match &shape.user {
        Some(name) => Some(user_id(name).ok_or_else(|| unknown(target, "no such user", name))?),
        None => old.map(MetadataExt::uid),
    };
    let group = match &shape.group {
        Some(name) => Some(group_id(name).ok_or_else(|| unknown(target, "no such group", name))?),
        None => old.map(MetadataExt::gid),
    };
    let now = temp.as_file().metadata().map_err(failed(target, "cannot read the new file's state"))?;
    let user = user.filter(|id| *id != now.uid());
    let group = group.filter(|id| *id != now.gid());
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    let asked = shape.user.is_some() || shape.group.is_some();
    match std::os::unix::fs::fchown(temp.as_file(), user, group) {
        Ok(()) => Ok(()),
        // an owner that nobody asked for is kept where that is allowed; a file of our own is better than none
        Err(error) if !asked && error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::debug!(path = %target.display(), "Kept another user's file under our own name");
            Ok(())
        }
        Err(error) => Err(failed(target, "cannot change the owner")(error)),
    }
}

fn unknown(target: &Path, what: &'static str, name: &str) -> WriteError {
    failed(target, what)(io::Error::new(io::ErrorKind::NotFound, format!("{name:?}")))
}

/// A user by number or by the system's user database.
pub(crate) fn user_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| database("/etc/passwd", name)).or_else(|| database_lookup(name, false))
}

/// A group by number or by the system's group database.
pub(crate) fn group_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| database("/etc/group", name)).or_else(|| database_lookup(name, true))
}

fn database(file: &str, name: &str) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// Users that are in no file (LDAP, systemd): asked through `getent`.
fn database_lookup(name: &str, group: bool) -> Option<u32> {
    let kind = if group { "group" } else { "passwd" };
    let answer = std::process::Command::new("getent").args([kind, name]).output().ok()?;
    String::from_utf8_lossy(&answer.stdout).split(':').nth(2)?.trim().parse().ok()
}

/// A file that a template writes beside its own (`writeToFile`).
pub(crate) fn write_beside(file: &crs_template::WrittenFile) -> Result<(), WriteError> {
    let path = Path::new(&file.path);
    let shape = Shape {
        perms: u32::from_str_radix(&file.perms, 8).ok(),
        user: Some(file.user.clone()).filter(|name| !name.is_empty()),
        group: Some(file.group.clone()).filter(|name| !name.is_empty()),
        create_dirs: true,
        backup: false,
    };
    let mut text = Vec::new();
    if file.append && path.exists() {
        text = fs::read(path).map_err(failed(path, "cannot read what is there"))?;
    }
    text.extend_from_slice(&file.content);
    if is_current(path, &text, &shape) {
        return Ok(());
    }
    Candidate::write(path, &text, &shape)?.replace().map(drop)
}
