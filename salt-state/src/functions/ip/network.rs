//! What is set for the network as a whole.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::context::Context;
use crate::python;
use crate::registry::CallError;

use super::interfaces::put_file;
use super::settings::switch;

const NETWORKING: &str = "/etc/default/networking";
const RESOLVER: &str = "/etc/resolv.conf";

/// Whether interfaces come up with the machine, and the machine's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Global {
    networking: Option<String>,
    hostname: Value,
    domain: Option<String>,
    search: Option<Value>,
}

fn invalid(setting: &str, expected: &str) -> CallError {
    CallError::exception(
        "AttributeError",
        format!("Invalid network setting -- Setting: {setting}, Expected: [{expected}]"),
    )
}

impl Global {
    /// What is set now.
    ///
    /// # Errors
    ///
    /// When the grain `osfullname` is missing, which Salt looks at.
    pub(crate) fn now(context: &Context<'_>) -> Result<Self, CallError> {
        if context.minion.grains.get("osfullname").is_none() {
            return Err(CallError::exception("KeyError", "'osfullname'"));
        }
        let text = |path: &str| {
            let text = context.system.text(Path::new(path)).ok().flatten();
            text.unwrap_or_default()
        };
        let networking = text(NETWORKING).lines().find_map(|line| {
            let value = line.trim().strip_prefix("CONFIGURE_INTERFACES=")?;
            Some(value.trim_matches('"').to_owned())
        });
        let (mut domain, mut search) = (None, None);
        for line in text(RESOLVER).lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("domain") => domain = words.next().map(str::to_owned),
                Some("search") => search = Some(words.collect::<Value>()),
                _ => {}
            }
        }
        let hostname = text("/etc/hostname");
        let hostname = hostname
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty());
        Ok(Self {
            networking,
            hostname: hostname
                .map_or_else(|| context.system.kernel().node, str::to_owned)
                .into(),
            domain,
            search,
        })
    }

    /// The lines that say it, with their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(networking) = &self.networking {
            lines.push(format!("NETWORKING={networking}\n"));
        }
        lines.push(format!("HOSTNAME={}\n", python::str(&self.hostname)));
        if let Some(domain) = &self.domain {
            lines.push(format!("DOMAIN={domain}\n"));
        }
        if let Some(search) = &self.search {
            lines.push(format!("SEARCH={}\n", python::str(search)));
        }
        lines
    }

    fn networking(&self, settings: &Map) -> Result<String, CallError> {
        let expected = "yes|on|true|1|True|no|off|false|0|False";
        let networking = match settings.get("enabled") {
            Some(enabled) => match switch(enabled) {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => return Err(invalid("networking", expected)),
            },
            None => self
                .networking
                .clone()
                .ok_or_else(|| invalid("networking", expected))?,
        };
        if settings.get("hostname").is_some_and(|name| !name.is_true()) {
            return Err(invalid("hostname", "server1.example.com"));
        }
        Ok(networking)
    }

    /// The lines that `/etc/default/networking` shall have.
    pub(crate) fn file(&self, settings: &Map) -> Result<Vec<String>, CallError> {
        let networking = self.networking(settings)?;
        let text = format!(
            "# Configuration for networking init script being run during\n# the boot sequence\n\n# Set to 'no' to skip interfaces configuration on boot\nCONFIGURE_INTERFACES={networking}\n\n# Don't configure these interfaces. Shell wildcards supported/\n#EXCLUDE_INTERFACES=\n\n# Set to 'yes' to enable additional verbosity\n#VERBOSE=no"
        );
        Ok(text.split_inclusive('\n').map(str::to_owned).collect())
    }

    /// The same with what is to be set.
    pub(crate) fn with(&self, settings: &Map) -> Result<Self, CallError> {
        let mut wanted = self.clone();
        wanted.networking = Some(self.networking(settings)?);
        match settings.get("hostname") {
            None => {}
            Some(Value::Str(name)) => match name.split_once('.') {
                Some((name, domain)) => {
                    wanted.hostname = name.into();
                    wanted.domain = Some(domain.to_owned());
                }
                None => wanted.hostname = name.as_str().into(),
            },
            Some(other) => {
                return Err(CallError::exception(
                    "AttributeError",
                    format!("'{}' object has no attribute 'split'", other.type_name()),
                ));
            }
        }
        if let Some(search) = settings.get("search") {
            wanted.search = Some(search.clone());
        }
        Ok(wanted)
    }

    /// Writes what is to be set: the lines of the resolver's file that are there.
    pub(crate) fn write(
        &self,
        now: &Self,
        settings: &Map,
        context: &Context<'_>,
    ) -> Result<(), CallError> {
        let file = now.file(settings)?.concat();
        put_file(context, NETWORKING, &file, 0o644)?;
        if self.domain == now.domain && !settings.contains_key("search") {
            return Ok(());
        }
        let old = context.system.text(Path::new(RESOLVER)).ok().flatten();
        let old = old.unwrap_or_default();
        let mut new = String::new();
        for line in old.split_inclusive('\n') {
            match (line.split_whitespace().next(), &self.domain, &self.search) {
                (Some("domain"), Some(domain), _) => new.push_str(&format!("domain {domain}\n")),
                (Some("search"), _, Some(search)) => {
                    new.push_str(&format!("search {}\n", python::str(search)));
                }
                _ => new.push_str(line),
            }
        }
        if new == old {
            return Ok(());
        }
        put_file(context, RESOLVER, &new, 0o644)
    }
}
