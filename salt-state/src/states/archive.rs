//! `archive.extracted`: what is in an archive, in its place.

use std::path::{Path, PathBuf};

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::files::cache::{self, Afterwards};
use crate::files::signature::Demand;
use crate::files::source::{self, Failure};
use crate::functions::archive::{self as tools, Bytes, Entry, Format};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{FileKind, Observe};

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "archive.extracted",
        "extracted(name, source, source_hash=None, source_hash_name=None, source_hash_update=False, skip_files_list_verify=False, skip_verify=False, password=None, options=None, list_options=None, force=False, overwrite=False, clean=False, clean_parent=False, user=None, group=None, if_missing=None, trim_output=False, use_cmd_unzip=None, extract_perms=True, enforce_toplevel=True, enforce_ownership_on=None, archive_format=None, use_etag=False, signature=None, source_hash_sig=None, signed_by_any=None, signed_by_all=None, keyring=None, gnupghome=None, sig_backend='gpg', **kwargs)",
        "Makes sure that an archive is taken out below a directory.",
        extracted,
    );
}

/// What is unlike the archive.
#[derive(Default)]
struct Found {
    missing: bool,
    wrong: Vec<String>,
}

fn compare(entries: &[Entry], below: &Path, machine: &dyn Observe) -> Found {
    let mut found = Found::default();
    for entry in entries.iter().filter(|entry| !entry.path().is_empty()) {
        // Below something that is no directory, there is nothing to ask for.
        match machine.link_metadata(&below.join(entry.path())) {
            Ok(Some(there)) if there.kind == entry.kind => {}
            Ok(Some(_)) => found.wrong.push(match entry.kind {
                FileKind::Directory => format!("{}/", entry.path()),
                _ => entry.path().to_owned(),
            }),
            Ok(None) => found.missing = true,
            Err(_) => {}
        }
    }
    found
}

fn bad_archive(
    source: &str,
    format: Format,
    place: &str,
    if_missing: bool,
    is_owned: bool,
) -> String {
    let (head, hint) = match format {
        Format::Zip => (
            format!("{source} is not a ZIP file."),
            "The following workarounds must be used for this state to proceed (assuming the source file is a valid zip archive):".to_owned(),
        ),
        _ => (
            format!(
                "Unable to list contents of {source}. If this is an XZ-compressed tar archive, install XZ Utils to enable listing its contents. If it is compressed using something other than XZ, it may be necessary to specify CLI options to decompress the archive. See the documentation for details."
            ),
            "If the source archive is a tar archive compressed using a compression type not natively supported by the tar command, then setting the 'list_options' argument may allow the contents to be listed. Otherwise, if Salt is unable to determine the files/directories in the archive, the following workaround(s) would need to be used for this state to proceed (assuming the source file is a valid tar archive):".to_owned(),
        ),
    };
    let about = format!("{head} Additional info follows:\n\narchive location:\n    {place}");
    if if_missing {
        return about;
    }
    let owned = if is_owned {
        "\n- Ownership cannot be managed without setting 'enforce_ownership_on'."
    } else {
        ""
    };
    format!("{about}\n\n{hint}\n\n- 'if_missing' must be set{owned}")
}

/// The bytes of the archive, or what the state says instead.
fn fetch(
    args: &Args,
    check: &Check<'_>,
    name: &str,
    source: &str,
    source_hash: &Value,
    afterwards: &mut Afterwards,
) -> Result<Result<Bytes, Plan>, CallError> {
    let context = check.context;
    let saltenv = check.environment();
    let local = source::local_path(source);
    let is_foreign =
        source::scheme(source).is_some_and(|scheme| scheme != "file") && local.is_some();
    if let Some(path) = &local
        && !is_foreign
        && !check.system.is_file(path)
    {
        let text = format!("Source file '{}' does not exist", path.display());
        return Ok(Err(Plan::fail(text)));
    }
    let said = |failure: Failure| match failure {
        Failure::Foreseen(text) => Ok(Err(Plan::fail(text))),
        Failure::Exception(error) => Err(error),
    };
    let sum = match source::stated_hash(source_hash)? {
        None => None,
        Some(stated) => {
            let hash_name = args.optional_text("source_hash_name");
            let found = source::checksum(
                name,
                source,
                stated,
                hash_name.as_deref(),
                saltenv,
                true,
                context,
            );
            match found {
                Ok(sum) => Some(sum),
                Err(failure) => return said(failure),
            }
        }
    };
    if (local.is_none() || is_foreign) && check.is_test() {
        let text = format!(
            "Archive {source} would be cached (if necessary) and checked to discover if extraction is needed"
        );
        return Ok(Err(Plan::answer(None, text, Changes::none())));
    }
    if is_foreign {
        return Ok(Err(Plan::fail(format!("Unsupported url scheme: {source}"))));
    }
    let mismatch = |hex: &str| {
        Plan::fail(format!(
            "{source} does not match the desired source_hash {hex}"
        ))
    };
    if let Some(path) = local {
        if let Some(sum) = &sum {
            let content = check.system.read(&path)?.unwrap_or_default();
            if !sum.fits(&content)? {
                return Ok(Err(mismatch(&sum.hex)));
            }
        }
        return Ok(Ok(Bytes::File(path)));
    }
    if source::is_remote(source)
        && sum.is_none()
        && !args.is_true("skip_verify")
        && !args.is_true("use_etag")
    {
        return Ok(Err(Plan::fail(format!(
            "Unable to verify upstream hash of source file {source}, please set source_hash or set skip_verify or use_etag to True"
        ))));
    }
    let is_remote = source::is_remote(source);
    let fetched = if is_remote {
        let ask = cache::Ask {
            sum: sum.as_ref(),
            use_etag: args.is_true("use_etag"),
            trust_kept: false,
            verify_ssl: true,
        };
        cache::fetch(source, saltenv, ask, context)
    } else {
        source::content(source, saltenv, context).and_then(|content| {
            let content = content.ok_or_else(|| {
                Failure::Foreseen(format!(
                    "Failed to cache {source}, check minion log for more information"
                ))
            })?;
            Ok(cache::Fetched {
                content,
                keep: None,
            })
        })
    };
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(failure) if is_remote => return Ok(Err(Plan::fail(failure.text()))),
        Err(failure) => return said(failure),
    };
    let content = fetched.content;
    if let Some(sum) = &sum
        && !sum.fits(&content)?
    {
        let Some(place) = cache::place(source, saltenv, check.minion).filter(|_| is_remote) else {
            return Ok(Err(mismatch(&sum.hex)));
        };
        let actual = crate::functions::hash(&sum.kind, &content)?;
        return Ok(Err(Plan::fail(format!(
            "File is cached to {}, but the hash ({actual}) does not match the specified hash ({})",
            place.display(),
            sum.hex
        ))));
    }
    let stated_hash = source_hash.as_str().unwrap_or_default();
    for (key, what) in [("signature", source), ("source_hash_sig", stated_hash)] {
        let Some(signature) = args.given(key).filter(|signature| signature.is_true()) else {
            continue;
        };
        let demand = Demand {
            args,
            signature,
            saltenv,
        };
        let is_met = if key == "signature" {
            demand.is_met(&content, context)
        } else if source::scheme(what).is_none() && !what.starts_with('/') {
            // A checksum that is no file has no signature.
            continue;
        } else {
            source::content(what, saltenv, context)
                .and_then(|sums| demand.is_met(&sums.unwrap_or_default(), context))
        };
        match is_met {
            Ok(true) => {}
            Ok(false) => {
                return Ok(Err(Plan::fail(format!(
                    "The file's signature could not be verified: {}",
                    source::redacted(what)
                ))));
            }
            Err(failure) => return said(failure),
        }
    }
    let keeps = args
        .keywords()
        .get("keep_source")
        .is_none_or(Value::is_true);
    *afterwards = match fetched.keep {
        Some(keep) if keeps => Afterwards::Keep(keep),
        _ if keeps => Afterwards::Nothing,
        _ => match cache::place(source, saltenv, check.minion) {
            Some(path) if check.system.exists(&path) => Afterwards::Forget(path),
            _ => Afterwards::Nothing,
        },
    };
    Ok(Ok(Bytes::Fetched(content)))
}

/// The options as words.
fn words(args: &Args) -> Result<Vec<String>, CallError> {
    let text = args.optional_text("options").unwrap_or_default();
    crate::functions::split_words(&text)
        .ok_or_else(|| CallError::exception("ValueError", "No closing quotation"))
}

fn extracted(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if !Check::is_absolute(&name) {
        return Ok(Plan::fail(format!("{name} is not an absolute path")));
    }
    let name = format!("{}/", name.trim_end_matches('/'));
    let below = PathBuf::from(&name);
    if check.system.is_file(Path::new(name.trim_end_matches('/'))) {
        return Ok(Plan::fail(format!(
            "{} exists and is not a directory",
            name.trim_end_matches('/')
        )));
    }
    if let Some(path) = args.optional_text("if_missing") {
        if !Check::is_absolute(&path) {
            return Ok(Plan::fail(format!(
                "Value for 'if_missing' ({path}) is not an absolute path"
            )));
        }
        if check.system.exists(Path::new(&path)) {
            return Ok(Plan::unchanged(format!("Path {path} exists")));
        }
    }
    let (uid, gid) = match owners(args, check.system)? {
        Ok(owners) => owners,
        Err(text) => return Ok(Plan::fail(text)),
    };
    let stated_hash = args.get("source_hash").cloned().unwrap_or_default();
    let stated = args.get("source").cloned().unwrap_or_default();
    let chosen = source::choose(&stated, &stated_hash, check.environment(), check.context);
    let (source, source_hash) = match chosen {
        Ok((source, hash)) => (python::str(&source), hash),
        Err(Failure::Foreseen(text)) => return Ok(Plan::fail(text)),
        Err(Failure::Exception(error)) => return Err(error),
    };
    let format = match args.optional_text("archive_format") {
        Some(stated) => match Format::named(&stated.to_lowercase()) {
            Some(format) => format,
            None => {
                return Ok(Plan::fail(format!(
                    "Invalid archive_format '{stated}'. Either set it to a supported value (tar, rar, zip) or remove this argument and the archive format will be guessed based on file extension."
                )));
            }
        },
        None => match Format::guess(&source) {
            Some(format) => format,
            None => {
                return Ok(Plan::fail(
                    "Could not guess archive_format from the value of the 'source' argument. Please set this archive_format to one of the following: tar, rar, zip",
                ));
            }
        },
    };
    let options = words(args)?;
    let mut afterwards = Afterwards::Nothing;
    let bytes = match fetch(args, check, &name, &source, &source_hash, &mut afterwards)? {
        Ok(bytes) => bytes,
        Err(plan) => return Ok(plan),
    };
    let place = Place {
        name,
        below,
        source,
        uid,
        gid,
    };
    let plan = placed(args, check, place, bytes, format, &options)?;
    Ok(afterwards.follow(plan))
}

/// Where what goes, and whose it will be.
struct Place {
    name: String,
    below: PathBuf,
    source: String,
    uid: Option<u32>,
    gid: Option<u32>,
}

fn placed(
    args: &Args,
    check: &Check<'_>,
    place: Place,
    bytes: Bytes,
    format: Format,
    options: &[String],
) -> Answer {
    let Place {
        name,
        below,
        source,
        uid,
        gid,
    } = place;
    let options = options.to_vec();
    let Some(entries) = tools::list(&bytes, format, check.system)? else {
        let place = match &bytes {
            Bytes::File(path) => path.display().to_string(),
            Bytes::Fetched(_) => source.clone(),
        };
        let if_missing = args.given("if_missing").is_some();
        return Ok(Plan::fail(bad_archive(
            &source,
            format,
            &place,
            if_missing,
            (uid.is_some() || gid.is_some()) && args.given("enforce_ownership_on").is_none(),
        )));
    };
    let listed: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    let strip = tools::stripped(&options.join(" "));
    let entries = tools::strip(entries, strip);
    let (directories, files) = tools::top_level(&entries);
    if args.is_true("enforce_toplevel") && (directories.len() > 1 || !files.is_empty()) {
        return Ok(Plan::fail(format!(
            "Archive does not have a single top-level directory. To allow this archive to be extracted, set 'enforce_toplevel' to False. To avoid a 'tar-bomb' it may also be advisable to set a top-level directory by adding it to the 'name' value (for example, setting 'name' to {name}some_dir instead of {name})."
        )));
    }
    let found = compare(&entries, &below, check.system);
    let (clean, force) = (args.is_true("clean"), args.is_true("force"));
    if !found.wrong.is_empty() && !clean && !force {
        return Ok(Plan::fail(format!(
            "The below paths (relative to {name}) exist, but are the incorrect type (file instead of directory, symlink instead of file, etc.). To proceed with extraction, set 'force' to True. Note that this will remove these paths before extracting.\n\n{}",
            found
                .wrong
                .iter()
                .map(|path| format!("- {path}"))
                .collect::<Vec<_>>()
                .join("\n")
        )));
    }
    let missing = found.missing || listed.is_empty();
    let needed = missing || !found.wrong.is_empty() || args.is_true("overwrite");
    let owned: Vec<PathBuf> = if uid.is_some() || gid.is_some() {
        entries
            .iter()
            .map(|entry| below.join(entry.path()))
            .collect()
    } else {
        Vec::new()
    };
    if !needed {
        return Ok(ownership(check.system, owned, uid, gid));
    }
    let absence = if missing {
        ", due to absence of one or more files/dirs"
    } else {
        ""
    };
    let cleaning = if clean {
        ", after cleaning destination path(s)"
    } else {
        ""
    };
    let would = format!("Archive {source} would be extracted to {name}{cleaning}{absence}");
    let mut comment = format!("{source} extracted to {name}{absence}");

    let removed: Vec<PathBuf> = if clean {
        directories
            .iter()
            .chain(&files)
            .map(|path| below.join(path))
            .filter(|path| {
                check
                    .system
                    .link_metadata(path)
                    .is_ok_and(|found| found.is_some())
            })
            .collect()
    } else {
        found
            .wrong
            .iter()
            .map(|path| below.join(path.trim_end_matches('/')))
            .collect()
    };
    let mut changes = Changes::none();
    if !removed.is_empty() {
        let shown = |path: &PathBuf| {
            let slash = if check.system.is_dir(path) || !clean {
                "/"
            } else {
                ""
            };
            format!("{}{slash}", path.display())
        };
        changes = changes.with("removed", removed.iter().map(shown).collect::<Value>());
    }
    if !owned.is_empty() {
        changes = changes.with("updated ownership", true);
    }
    let makes_directory = !check.system.is_dir(&below);
    if makes_directory {
        changes = changes.with(
            "directories_created",
            [name.as_str()].into_iter().collect::<Value>(),
        );
    }
    let limit = match args.get("trim_output") {
        Some(Value::Bool(true)) => Some(100),
        Some(Value::Int(count)) => usize::try_from(*count).ok().filter(|count| *count > 0),
        _ => None,
    };
    let speaks = format == Format::Tar && !options.is_empty();
    let trimmed = |mut files: Vec<String>| -> (Value, bool) {
        let is_long = limit.is_some_and(|limit| files.len() > limit);
        if let Some(limit) = limit {
            files.truncate(limit);
        }
        (files.into_iter().collect(), is_long)
    };
    let (files, is_long) = trimmed(listed);
    changes = changes.with("extracted_files", files);
    if is_long {
        comment.push_str(&format!(
            ". Output was trimmed to {} number of lines",
            limit.unwrap_or_default()
        ));
    }
    let after = changes.clone();
    let plan = Plan::change(comment, changes, move |context| {
        for path in &removed {
            context.system.remove_all(path)?;
        }
        if makes_directory {
            context.system.create_dir_all(&below, 0o755)?;
        }
        let output = tools::extract(context, &bytes, format, &below, &options)?;
        if !output.is_success() {
            let said = output.stderr_text();
            return Ok(Done::failed(format!(
                "Failed to extract {source} to {name}: {}",
                said.trim()
            )));
        }
        own(context, &owned, uid, gid)?;
        let mut after = after;
        if speaks {
            let said: Vec<String> = output.stdout_text().lines().map(str::to_owned).collect();
            let said: Value = if said.is_empty() {
                "no tar output so far".into()
            } else {
                said.into_iter().take(limit.unwrap_or(usize::MAX)).collect()
            };
            after.insert("extracted_files", said);
        }
        Ok(Done::as_planned().changes(after))
    });
    Ok(plan.when_testing(would).test_changes(Changes::none()))
}

type Owners = (Option<u32>, Option<u32>);

/// The numbers of the owners that are asked for, or who does not exist.
fn owners(args: &Args, machine: &dyn Observe) -> Result<Result<Owners, String>, CallError> {
    let mut owners = (None, None);
    if let Some(user) = args.given("user") {
        owners.0 = crate::files::perms::uid_of(machine, user)?;
        if owners.0.is_none() {
            return Ok(Err(format!("User {} does not exist", python::str(user))));
        }
    }
    if let Some(group) = args.given("group") {
        owners.1 = crate::files::perms::gid_of(machine, group)?;
        if owners.1.is_none() {
            return Ok(Err(format!("Group {} does not exist", python::str(group))));
        }
    }
    Ok(Ok(owners))
}

fn own(
    context: &Context<'_>,
    paths: &[PathBuf],
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<(), CallError> {
    for path in paths {
        if context.system.link_metadata(path)?.is_some() {
            context.system.set_owner(path, uid, gid, false)?;
        }
    }
    Ok(())
}

/// Everything is there; only owners may be wrong.
fn ownership(
    machine: &dyn Observe,
    paths: Vec<PathBuf>,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Plan {
    const PRESENT: &str = "All files in archive are already present";
    let wrong: Vec<PathBuf> = paths
        .into_iter()
        .filter(|path| {
            machine
                .link_metadata(path)
                .ok()
                .flatten()
                .is_some_and(|found| {
                    uid.is_some_and(|uid| uid != found.uid)
                        || gid.is_some_and(|gid| gid != found.gid)
                })
        })
        .collect();
    if wrong.is_empty() {
        return Plan::unchanged(PRESENT);
    }
    Plan::change(
        PRESENT,
        Changes::of("updated ownership", true),
        move |context| own(context, &wrong, uid, gid),
    )
    .when_testing(format!(
        "{PRESENT}. Ownership would be updated on one or more files/directories."
    ))
}
