//! What a template sees of where it stands.

use std::rc::Rc;

use crate::jinja::{Dict, Value, Vars};

/// The part of the context that depends on the file.
pub(crate) struct Location<'t> {
    pub(crate) environment: &'t str,
    pub(crate) sls: &'t str,
    /// The path in the tree, `app/web/init.sls`.
    pub(crate) path: &'t str,
    /// The directory that Salt caches files of the tree in.
    pub(crate) cache: &'t str,
}

/// `tplfile`, `tpldir` and `tpldot` of a template.
pub(crate) fn template_globals(path: &str) -> Vec<(Rc<str>, Value)> {
    let directory = match path.rsplit_once('/') {
        Some((directory, _)) if !directory.is_empty() => directory,
        _ => ".",
    };
    let dotted = if directory == "." {
        String::new()
    } else {
        directory.replace('/', ".")
    };
    vec![
        ("tplfile".into(), Value::text(path)),
        ("tpldir".into(), Value::text(directory)),
        ("tpldot".into(), Value::text(dotted)),
    ]
}

/// Where Salt's file cache has a file of the tree; it shows in messages.
pub(crate) fn cached_path(cache: &str, environment: &str, path: &str) -> String {
    format!("{cache}/files/{environment}/{path}")
}

/// The variables that come from the place of an SLS.
pub(crate) fn location_vars(at: &Location<'_>) -> Vars {
    let mut vars = Vars::new();
    vars.insert("saltenv".into(), Value::text(at.environment));
    vars.insert("sls".into(), Value::text(at.sls));
    vars.insert("proxy".into(), Value::Dict(Dict::new()));
    if at.sls.is_empty() {
        return vars;
    }
    let slspath = if at.path.ends_with("/init.sls") || at.path == "init.sls" {
        at.sls.replace('.', "/")
    } else {
        match at.path.rsplit_once('/') {
            Some((directory, _)) => directory.to_owned(),
            None => String::new(),
        }
    };
    vars.insert("slspath".into(), Value::text(slspath.as_str()));
    vars.insert("slsdotpath".into(), Value::text(slspath.replace('/', ".")));
    vars.insert(
        "slscolonpath".into(),
        Value::text(slspath.replace('/', ":")),
    );
    vars.insert("sls_path".into(), Value::text(slspath.replace('/', "_")));
    vars.extend(template_globals(at.path));
    let full = cached_path(at.cache, at.environment, at.path);
    vars.insert("tplpath".into(), Value::text(full));
    vars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sls: &str, path: &str, expected: [&str; 7]) {
        let vars = location_vars(&Location {
            environment: "base",
            sls,
            path,
            cache: "/cache",
        });
        let names = [
            "slspath",
            "slsdotpath",
            "slscolonpath",
            "sls_path",
            "tplfile",
            "tpldir",
            "tpldot",
        ];
        let found = names.map(|name| vars.get(name).and_then(Value::as_str).unwrap_or("?"));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_table_of_path_variables() {
        check("s", "s.sls", ["", "", "", "", "s.sls", ".", ""]);
        check(
            "app.web",
            "app/web.sls",
            ["app", "app", "app", "app", "app/web.sls", "app", "app"],
        );
        check(
            "app.web",
            "app/web/init.sls",
            [
                "app/web",
                "app.web",
                "app:web",
                "app_web",
                "app/web/init.sls",
                "app/web",
                "app.web",
            ],
        );
    }
}
