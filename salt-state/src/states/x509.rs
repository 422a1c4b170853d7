//! `x509.*`: keys, certificates, requests and revocation lists in files.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::x509::plan::{self, Comparison, KeyWanted};
use crate::functions::x509::{flat, pem_text};
use crate::plan::{Changes, Done, Outcome, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::WriteOptions;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "x509.certificate_managed",
        "certificate_managed(name, days_remaining=None, ca_server=None, signing_policy=None, encoding='pem', append_certs=None, digest='sha256', signing_private_key=None, signing_private_key_passphrase=None, signing_cert=None, public_key=None, private_key=None, private_key_passphrase=None, csr=None, subject=None, serial_number=None, not_before=None, not_after=None, days_valid=None, pkcs12_passphrase=None, pkcs12_encryption_compat=False, pkcs12_friendlyname=None, **kwargs)",
        "Keeps a certificate in a file, signed anew when it is about to expire or to say something else.",
        certificate,
    );
    registry.add_state(
        "x509.crl_managed",
        "crl_managed(name, signing_private_key, revoked, days_remaining=None, signing_cert=None, signing_private_key_passphrase=None, include_expired=False, days_valid=None, digest='sha256', encoding='pem', extensions=None, **kwargs)",
        "Keeps a revocation list in a file.",
        revocation_list,
    );
    registry.add_state(
        "x509.csr_managed",
        "csr_managed(name, private_key, private_key_passphrase=None, digest='sha256', encoding='pem', subject=None, **kwargs)",
        "Keeps a request for a certificate in a file.",
        request,
    );
    registry.add_state(
        "x509.pem_managed",
        "pem_managed(name, text, **kwargs)",
        "Keeps a PEM block in a file, in proper lines.",
        pem,
    );
    registry.add_state(
        "x509.private_key_managed",
        "private_key_managed(name, algo='rsa', keysize=None, passphrase=None, encoding='pem', new=False, overwrite=False, pkcs12_encryption_compat=False, **kwargs)",
        "Keeps a private key in a file. new: a new one in every run.",
        private_key,
    );
}

/// The arguments that are `file.managed`'s.
const OF_FILES: &[&str] = &[
    "attrs",
    "backup",
    "check_cmd",
    "create",
    "dir_mode",
    "follow_symlinks",
    "group",
    "makedirs",
    "mode",
    "selinux",
    "tmp_dir",
    "tmp_ext",
    "user",
];

fn file_arguments(args: &Map) -> Args {
    let mut file = Args::new();
    for (key, value) in args {
        if let Some(key) = key.as_str()
            && (key == "name" || OF_FILES.contains(&key))
        {
            file = file.keyword(key, value.clone());
        }
    }
    file
}

/// What `file.managed` came to, as an entry of its own.
fn beside(name: &str, outcome: Outcome) -> Value {
    let low = Map::from([
        ("name", name),
        ("state", "file"),
        ("__id__", name),
        ("fun", "managed"),
    ]);
    let entry = Map::from([
        ("changes", Value::from(outcome.changes)),
        ("comment", outcome.comment),
        ("name", name.into()),
        ("result", outcome.result.into()),
        ("low", low.into()),
    ]);
    Value::List(vec![entry.into()])
}

const BESIDE: &str = "sub_state_run";

/// Runs `file.managed` now.
fn manage(args: &Args, context: &Context<'_>) -> Result<Outcome, CallError> {
    let name = args.text("name")?;
    let low = Map::from([
        ("state", "file"),
        ("fun", "managed"),
        ("name", name.as_str()),
        ("__id__", name.as_str()),
    ]);
    let check = Check::new(context, &low, false);
    let plan = context.registry.check("file.managed", args, &check)?;
    plan.carry_out(context)
}

/// Makes the bytes of a file.
type Make = Box<dyn FnOnce(&Context<'_>) -> Result<Vec<u8>, CallError> + Send>;

/// A file with something in it that is made, not written down.
struct Managed<'a> {
    /// `private key`.
    what: &'a str,
    args: &'a Map,
    /// The mode of a file for which none is stated.
    mode: Option<&'static str>,
    make: Make,
}

impl Managed<'_> {
    /// What keeps it from being compared in a foreseen way is a failure of the state.
    fn plan(self, compared: Result<Comparison, CallError>, check: &Check<'_>) -> Answer {
        let compared = match compared {
            Ok(compared) => compared,
            Err(
                CallError::Execution(text)
                | CallError::Invocation(text)
                | CallError::CommandNotFound(text),
            ) => return Ok(Plan::fail(text)),
            Err(other) => return Err(other),
        };
        let name = crate::python::str(self.args.get("name").unwrap_or(&Value::Null));
        let mut file = file_arguments(self.args);
        if file.given("mode").is_none()
            && let Some(mode) = self.mode
        {
            file = file.keyword("mode", mode);
        }
        let as_it_is = file.clone().keyword("replace", false);
        // A dry run in any case: what is wrong now may be right when the file is written.
        let dry = Check::new(check.context, check.low, true);
        let tested = check
            .context
            .registry
            .check("file.managed", &as_it_is, &dry)?;
        let file_changes = tested.is_change();
        let tested = tested.predicted();
        let result = tested.result;
        let before = beside(&name, tested);
        if result == Some(false) {
            let text = "Problem while testing file.managed changes, see its output";
            return Ok(Plan::fail(text).extra(BESIDE, before));
        }
        let what = self.what;
        let right = format!("The {what} is in the correct state");
        if compared.changes.is_empty() {
            if !file_changes {
                return Ok(Plan::unchanged(right).extra(BESIDE, before));
            }
            let plan = Plan::change(right, Changes::none(), move |context| {
                reported(&name, manage(&as_it_is, context)?)
            });
            return Ok(plan.test_result(true).extra(BESIDE, before));
        }
        let verb = if compared.again {
            "recreated"
        } else {
            "created"
        };
        let done = format!("The {what} has been {verb}");
        let would = format!("The {what} would have been {verb}");
        let (make, der, mode) = (self.make, compared.der, self.mode.is_some());
        let plan = Plan::change(done, Changes::from(compared.changes), move |context| {
            let bytes = match make(context) {
                Ok(bytes) => bytes,
                Err(error) => return foreseen(error),
            };
            if !der {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let args = file
                    .keyword("contents", text)
                    .keyword("replace", true)
                    .keyword("show_changes", false);
                return reported(&name, manage(&args, context)?);
            }
            // Bytes that are no text are written first, and then given their owner and
            // mode; until then nobody else may read them.
            let path = Path::new(&name);
            if context.system.exists(path) {
                context.system.write(path, &bytes, &WriteOptions::new())?;
                return reported(&name, manage(&as_it_is, context)?);
            }
            let made = manage(&as_it_is, context)?;
            if made.result != Some(false) {
                let mut options = WriteOptions::new();
                if mode && file.given("mode").is_none() {
                    options = options.mode(0o400);
                }
                context.system.write(path, &bytes, &options)?;
            }
            reported(&name, made)
        });
        Ok(plan.when_testing(would).extra(BESIDE, before))
    }
}

fn reported(name: &str, outcome: Outcome) -> Result<Done, CallError> {
    let failed = outcome.result == Some(false);
    let beside = beside(name, outcome);
    let done = if failed {
        Done::failed("Could not create file, see file.managed output")
    } else {
        Done::as_planned()
    };
    Ok(done.extra(BESIDE, beside))
}

/// Failures that Salt puts into a comment; others are exceptions.
fn foreseen(error: CallError) -> Result<Done, CallError> {
    match error {
        CallError::Execution(text)
        | CallError::Invocation(text)
        | CallError::CommandNotFound(text) => {
            Ok(Done::failed(text).extra(BESIDE, Value::List(Vec::new())))
        }
        other => Err(other),
    }
}

/// What is in the file, if it is there.
fn content(args: &Map, check: &Check<'_>) -> Result<Option<Vec<u8>>, CallError> {
    let path = crate::python::str(args.get("name").unwrap_or(&Value::Null));
    let path = Path::new(&path);
    if !check.system.is_file(path) {
        return Ok(None);
    }
    Ok(check.system.read(path)?)
}

/// The comparison of a file that is not there.
fn created(args: &Map) -> Result<Comparison, CallError> {
    let encoding = args.get("encoding").map(crate::python::str);
    Ok(Comparison {
        changes: Map::from([("created", args.get("name").cloned().unwrap_or_default())]),
        again: false,
        der: plan::is_der(encoding.as_deref().unwrap_or("pem"))?,
    })
}

fn certificate(args: &Args, check: &Check<'_>) -> Answer {
    let all = flat(args);
    let name = args.text("name")?;
    let compared = match content(&all, check)? {
        None => created(&all),
        Some(content) => {
            plan::compare_certificate(&name, &content, &all, check.system, check.minion)
        }
    };
    let wanted = all.clone();
    let make = Box::new(move |context: &Context<'_>| plan::make_certificate(&wanted, context));
    Managed {
        what: "certificate",
        args: &all,
        mode: None,
        make,
    }
    .plan(compared, check)
}

fn request(args: &Args, check: &Check<'_>) -> Answer {
    let all = flat(args);
    let name = args.text("name")?;
    let compared = match content(&all, check)? {
        None => created(&all),
        Some(content) => plan::compare_request(&name, &content, &all, check.system),
    };
    let wanted = all.clone();
    let make = Box::new(move |context: &Context<'_>| plan::make_request(&wanted, context));
    Managed {
        what: "certificate signing request",
        args: &all,
        mode: None,
        make,
    }
    .plan(compared, check)
}

fn revocation_list(args: &Args, check: &Check<'_>) -> Answer {
    let all = flat(args);
    let name = args.text("name")?;
    let old = content(&all, check)?;
    let compared = match &old {
        None => created(&all),
        Some(content) => plan::compare_list(&name, content, &all, check.system),
    };
    let (wanted, old) = (all.clone(), old.unwrap_or_default());
    let make = Box::new(move |context: &Context<'_>| plan::make_list(&old, &wanted, context));
    Managed {
        what: "certificate revocation list",
        args: &all,
        mode: None,
        make,
    }
    .plan(compared, check)
}

fn private_key(args: &Args, check: &Check<'_>) -> Answer {
    let all = flat(args);
    let name = args.text("name")?;
    let old = content(&all, check)?;
    let mut changes = Map::new();
    match &old {
        // What is wrong with the arguments shows when the key is made.
        None => {
            changes.insert("created", name.as_str());
        }
        Some(content) => {
            let overwrite = args.is_true("overwrite");
            let compared = KeyWanted::of(&all)
                .and_then(|wanted| wanted.compare(&name, content, overwrite, check.system));
            match compared {
                Ok(Ok(found)) => changes = found,
                Ok(Err(refusal)) => return Ok(Plan::fail(refusal)),
                Err(
                    CallError::Execution(text)
                    | CallError::Invocation(text)
                    | CallError::CommandNotFound(text),
                ) => return Ok(Plan::fail(text)),
                Err(other) => return Err(other),
            }
            if args.is_true("new") {
                changes.insert("replaced", name.as_str());
            }
        }
    }
    let compared = Comparison {
        changes,
        again: old.is_some(),
        der: all.str("encoding") == Some("der"),
    };
    let wanted = all.clone();
    let make = Box::new(move |context: &Context<'_>| KeyWanted::of(&wanted)?.make(context.system));
    Managed {
        what: "private key",
        args: &all,
        mode: Some("0400"),
        make,
    }
    .plan(Ok(compared), check)
}

fn pem(args: &Args, check: &Check<'_>) -> Answer {
    let text = args.get("text").unwrap_or(&Value::Null);
    let text = pem_text(text, check.system)?;
    let file = file_arguments(&flat(args))
        .keyword("contents", text)
        .keyword("show_changes", false);
    check.state("file.managed", &file)
}
