//! What roles may do with the things of a database.

use salt_proto::{Map, Value};

use super::{Answer, Server, column, literal, name};
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "postgres.privileges_list",
        "privileges_list(name, object_type, prepend='public', maintenance_db=None, user=None, host=None, port=None, password=None, runas=None)",
        "What each role may do with something, and whether it may pass that on.",
        |args, context| {
            let kind = Kind::of(&args.text("object_type")?);
            let kind = kind.ok_or_else(|| {
                CallError::invocation(
                    "Invalid object_type: ".to_owned()
                        + args.str("object_type").unwrap_or_default(),
                )
            })?;
            let server = Server::of(args, context);
            let (object, schema) = (args.text("name")?, args.text("prepend")?);
            Ok(list(context.system, &server, kind, &object, &schema)?.into())
        },
    );
    add(
        "postgres.has_privileges",
        "has_privileges(name, object_name, object_type, privileges=None, grant_option=None, prepend='public', maintenance_db=None, user=None, host=None, port=None, password=None, runas=None)",
        "Whether a role may do all of that with something.",
        |args, context| {
            let wanted = Wanted::of(args)?;
            let server = Server::of(args, context);
            let may_pass_on = args.is_true("grant_option");
            Ok(wanted
                .is_there(context.system, &server, may_pass_on)?
                .into())
        },
    );
    add(
        "postgres.privileges_grant",
        "privileges_grant(name, object_name, object_type, privileges=None, grant_option=None, prepend='public', maintenance_db=None, user=None, host=None, port=None, password=None, runas=None)",
        "Lets a role do something; false when it may already.",
        |args, context| {
            let wanted = Wanted::of(args)?;
            let server = Server::of(args, context);
            if wanted.is_there(context.system, &server, false)? {
                return Ok(false.into());
            }
            let sql = wanted.grant(args.is_true("grant_option"));
            Ok(server.done(context, &sql)?.into())
        },
    );
    add(
        "postgres.privileges_revoke",
        "privileges_revoke(name, object_name, object_type, privileges=None, prepend='public', maintenance_db=None, user=None, host=None, port=None, password=None, runas=None)",
        "Stops a role from doing something; false when it may not do it.",
        |args, context| {
            let wanted = Wanted::of(args)?;
            let server = Server::of(args, context);
            if !wanted.is_there(context.system, &server, false)? {
                return Ok(false.into());
            }
            Ok(server.done(context, &wanted.revoke())?.into())
        },
    );
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    Sequence,
    Schema,
    Database,
    Language,
    Function,
    Tablespace,
    Group,
}

impl Kind {
    fn of(text: &str) -> Option<Self> {
        Some(match text.to_lowercase().as_str() {
            "table" => Self::Table,
            "sequence" => Self::Sequence,
            "schema" => Self::Schema,
            "database" => Self::Database,
            "language" => Self::Language,
            "function" => Self::Function,
            "tablespace" => Self::Tablespace,
            "group" => Self::Group,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Sequence => "SEQUENCE",
            Self::Schema => "SCHEMA",
            Self::Database => "DATABASE",
            Self::Language => "LANGUAGE",
            Self::Function => "FUNCTION",
            Self::Tablespace => "TABLESPACE",
            Self::Group => "GROUP",
        }
    }

    /// What can be done with it.
    fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Table => &[
                "INSERT",
                "SELECT",
                "UPDATE",
                "DELETE",
                "TRUNCATE",
                "REFERENCES",
                "TRIGGER",
                "MAINTAIN",
            ],
            Self::Sequence => &["SELECT", "UPDATE", "USAGE"],
            Self::Schema => &["USAGE", "CREATE"],
            Self::Database => &["CREATE", "TEMPORARY", "CONNECT"],
            Self::Language => &["USAGE"],
            Self::Function => &["EXECUTE"],
            Self::Tablespace => &["CREATE"],
            Self::Group => &[],
        }
    }

    /// Whether it stands in a schema.
    fn is_in_schema(self) -> bool {
        matches!(self, Self::Table | Self::Sequence | Self::Function)
    }

    /// The query for the access list of one of them.
    fn access_list(self, object: &str, schema: &str) -> String {
        let (object, schema) = (literal(object), literal(schema));
        match self {
            Self::Table | Self::Sequence => {
                let kinds = if self == Self::Table {
                    "'r', 'v', 'm', 'f', 'p'"
                } else {
                    "'S'"
                };
                format!(
                    "SELECT c.relacl AS acl FROM pg_catalog.pg_class c \
                     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                     WHERE c.relkind IN ({kinds}) AND c.relname = {object} AND n.nspname = {schema}"
                )
            }
            Self::Function => format!(
                "SELECT p.proacl AS acl FROM pg_catalog.pg_proc p \
                 JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
                 WHERE n.nspname = {schema} AND p.proname || '(' || \
                 pg_catalog.oidvectortypes(p.proargtypes) || ')' = {object}"
            ),
            Self::Schema => {
                format!(
                    "SELECT nspacl AS acl FROM pg_catalog.pg_namespace WHERE nspname = {object}"
                )
            }
            Self::Database => {
                format!("SELECT datacl AS acl FROM pg_catalog.pg_database WHERE datname = {object}")
            }
            Self::Language => {
                format!("SELECT lanacl AS acl FROM pg_catalog.pg_language WHERE lanname = {object}")
            }
            Self::Tablespace | Self::Group => {
                format!(
                    "SELECT spcacl AS acl FROM pg_catalog.pg_tablespace WHERE spcname = {object}"
                )
            }
        }
    }
}

/// The roles that may do something with it: of a group its members, with whether they may
/// let others in, of anything else a mapping for each.
fn list(
    machine: &dyn Observe,
    server: &Server,
    kind: Kind,
    object: &str,
    schema: &str,
) -> Result<Map, CallError> {
    if kind == Kind::Group {
        let sql = format!(
            "SELECT m.rolname AS name, bool_or(b.admin_option) AS admin \
             FROM pg_catalog.pg_auth_members b JOIN pg_catalog.pg_roles m ON m.oid = b.member \
             JOIN pg_catalog.pg_roles g ON g.oid = b.roleid WHERE g.rolname = {} \
             GROUP BY m.rolname ORDER BY m.rolname;",
            literal(object)
        );
        let rows = server.ask(machine, &sql)?.unwrap_or_default();
        let members = rows
            .iter()
            .map(|row| (column(row, "name"), column(row, "admin") == "t"));
        return Ok(members.collect());
    }
    let sql = format!(
        "SELECT CASE a.grantee WHEN 0 THEN 'public' ELSE r.rolname END AS name, \
         a.privilege_type AS privilege, a.is_grantable AS grantable \
         FROM ({}) o, pg_catalog.aclexplode(o.acl) WITH ORDINALITY \
         AS a(grantor, grantee, privilege_type, is_grantable, place) \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee ORDER BY a.place;",
        kind.access_list(object, schema)
    );
    let mut all = Map::new();
    for row in server.ask(machine, &sql)?.unwrap_or_default() {
        let role = column(&row, "name");
        let mut may = all
            .get(role)
            .and_then(Value::as_map)
            .cloned()
            .unwrap_or_default();
        may.insert(column(&row, "privilege"), column(&row, "grantable") == "t");
        all.insert(role, may);
    }
    Ok(all)
}

/// What a role is to be allowed.
pub(crate) struct Wanted {
    role: String,
    object: String,
    kind: Kind,
    schema: String,
    privileges: Vec<String>,
}

impl Wanted {
    /// As the arguments say.
    pub(crate) fn of(args: &Args) -> Result<Self, CallError> {
        let stated = match args.given("privileges") {
            Some(Value::List(_)) => {
                return Err(CallError::exception(
                    "AttributeError",
                    "'list' object has no attribute 'upper'",
                ));
            }
            Some(other) => python::str(other),
            None => String::new(),
        };
        let named = args.text("object_type")?;
        let kind = Kind::of(&named)
            .ok_or_else(|| CallError::exception("KeyError", format!("'{named}'")))?;
        let mut privileges = Vec::new();
        if kind == Kind::Group {
            if !stated.is_empty() {
                return Err(CallError::invocation(
                    "The privileges option should not be set for object_type group",
                ));
            }
        } else {
            for word in stated.split(',') {
                let word = word.trim().to_uppercase();
                if word != "ALL" && !kind.privileges().contains(&word.as_str()) {
                    return Err(CallError::invocation(format!(
                        "Invalid privilege(s): {stated} provided for object {}",
                        named.to_lowercase()
                    )));
                }
                privileges.push(word);
            }
        }
        Ok(Self {
            role: args.text("name")?,
            object: args.text("object_name")?,
            kind,
            schema: args.text("prepend")?,
            privileges,
        })
    }

    /// Whether the role may do all of it already. Who is to pass it on may do so only when
    /// that holds for all that can be done with such a thing; before PostgreSQL 17 that is
    /// never all of what can be done with a table.
    pub(crate) fn is_there(
        &self,
        machine: &dyn Observe,
        server: &Server,
        may_pass_on: bool,
    ) -> Result<bool, CallError> {
        let all = list(machine, server, self.kind, &self.object, &self.schema)?;
        let Some(role) = all.get(self.role.as_str()) else {
            return Ok(false);
        };
        Ok(match role.as_map() {
            None => !may_pass_on || role.is_true(),
            Some(may) if may_pass_on => {
                let all = self.kind.privileges();
                all.iter()
                    .all(|one| may.get(one).is_some_and(Value::is_true))
            }
            Some(may) if self.privileges.iter().any(|one| one == "ALL") => self
                .kind
                .privileges()
                .iter()
                .all(|one| may.contains_key(one)),
            Some(may) => self
                .privileges
                .iter()
                .all(|one| may.contains_key(one.as_str())),
        })
    }

    /// What it is granted, and on what.
    fn subject(&self) -> String {
        if self.kind == Kind::Group {
            return name(&self.object);
        }
        let words = self.privileges.join(",");
        let kind = self.kind.word();
        if self.kind.is_in_schema() {
            let schema = name(&self.schema);
            if self.object.eq_ignore_ascii_case("all") {
                return format!("{words} ON ALL {kind}S IN SCHEMA {schema}");
            }
            return format!("{words} ON {kind} {schema}.{}", name(&self.object));
        }
        format!("{words} ON {kind} {}", name(&self.object))
    }

    /// The SQL that allows it.
    fn grant(&self, may_pass_on: bool) -> String {
        let option = match (may_pass_on, self.kind) {
            (false, _) => "",
            (true, Kind::Group) => " WITH ADMIN OPTION",
            (true, _) => " WITH GRANT OPTION",
        };
        format!("GRANT {} TO {}{option};", self.subject(), name(&self.role))
    }

    /// The SQL that forbids it.
    fn revoke(&self) -> String {
        format!("REVOKE {} FROM {};", self.subject(), name(&self.role))
    }
}
