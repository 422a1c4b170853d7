//! `include`, `import` and `from … import`.

use std::rc::Rc;

use crate::jinja::ast::{FromImport, Import, Include, Locals, Node, Pos};
use crate::jinja::context::{Context, Template};
use crate::jinja::rendered::Output;
use crate::jinja::runtime::Module;
use crate::jinja::value::{Key, Object, Str, Undefined, Value, repr_str};
use crate::jinja::{Error, Exception, Kind, Result, Runtime, Vars, access};

use super::Run;

impl Run<'_, '_> {
    /// The template that a value names.
    pub(super) fn template_named(&self, name: &Value) -> Result<Rc<Template>> {
        let from = self.template.source.name.as_deref();
        match name {
            Value::Str(name) => self.rt.template(name, from),
            Value::Undefined(undefined) => Err(undefined.error()),
            other => {
                // Jinja looks among those it knows, then asks the loader.
                Key::new(other.clone())?;
                Err(if self.rt.environment().is_salt() {
                    access::no_attribute(other, "split")
                } else {
                    Error::new(Kind::NotFound, other.str()?)
                })
            }
        }
    }

    /// The first of several templates that is there.
    fn select(&self, names: &Value) -> Result<Rc<Template>> {
        if let Value::Undefined(undefined) = names {
            return Err(undefined.error());
        }
        if !names.is_true()? {
            let message = "Tried to select from an empty list of templates.";
            return Err(Error::new(Kind::NoneFound, message));
        }
        let mut tried = Vec::new();
        for name in &names.items(self.rt)? {
            match self.template_named(name) {
                Err(error) if is_missing(&error) => tried.push(match name {
                    Value::Undefined(undefined) => undefined.message(),
                    name => name.str()?,
                }),
                found => return found,
            }
        }
        match names {
            Value::List(_) | Value::Tuple(_) | Value::Str(_) => {}
            // Jinja names the last of them.
            Value::Dict(_) => return Err(Error::python(Exception::KeyError, "-1")),
            other => {
                let name = other.type_name();
                let message = format!("'{name}' object is not subscriptable");
                return Err(Error::type_error(message));
            }
        }
        let message = format!(
            "none of the templates given were found: {}",
            tried.join(", ")
        );
        Err(Error::new(Kind::NoneFound, message))
    }

    /// The context for a template that sees ours.
    fn shared_context(&self, template: &Rc<Template>, locals: &Locals) -> Rc<Context> {
        Context::for_template(template, self.shared_vars(locals))
    }

    fn shared_vars(&self, locals: &Locals) -> Rc<Vars> {
        let locals = self.local_values(locals);
        let mut vars = self.context.all();
        if !locals.is_empty() {
            Rc::make_mut(&mut vars).extend(locals);
        }
        vars
    }

    pub(super) fn include(&self, include: &Include, out: &mut Output) -> Result<()> {
        let name = self.eval(&include.template)?;
        let is_list = match &include.template.node {
            Node::Tuple(_) | Node::List(_) => true,
            Node::Const(Value::Str(_)) => false,
            _ => !matches!(name, Value::Str(_) | Value::Undefined(_)),
        };
        let found = if is_list {
            self.select(&name)
        } else {
            self.template_named(&name)
        };
        let template = match found {
            Ok(template) => template,
            Err(error)
                if include.ignore_missing
                    && matches!(error.kind(), Kind::NotFound | Kind::NoneFound) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error.at_pos(include.template.pos)),
        };
        if include.with_context {
            let context = self.shared_context(&template, &include.locals);
            return super::run_template(self.rt, &template, &context, out);
        }
        let _level = self.rt.enter()?;
        let module = self.rt.module(&template)?;
        out.push_traced(&module.body.text, &module.body.spans);
        Ok(())
    }

    /// The module of a template, as an import gets it.
    pub(super) fn imported(
        &self,
        template: &crate::jinja::ast::Expr,
        with_context: bool,
        locals: &Locals,
    ) -> Result<(Rc<Template>, Rc<Module>)> {
        let name = self.eval(template)?;
        let found = self.template_named(&name);
        let found = found.map_err(|error| error.at_pos(template.pos))?;
        let _level = self.rt.enter()?;
        let module = if with_context {
            self.rt.run_module(&found, self.shared_vars(locals))?
        } else {
            self.rt.module(&found)?
        };
        Ok((found, module))
    }

    pub(super) fn import(&self, import: &Import) -> Result<()> {
        let (template, module) =
            self.imported(&import.template, import.with_context, &import.locals)?;
        let value = Value::object(ModuleObject {
            name: template.source.name.clone(),
            module,
        });
        self.bind_import(&import.target, value, import.toplevel);
        Ok(())
    }

    /// Sets an imported name; what is imported is not exported again.
    fn bind_import(&self, target: &crate::jinja::ast::Name, value: Value, toplevel: bool) {
        self.frame.set(target.slot, Some(value.clone()));
        if toplevel {
            self.set_var(&target.name, value);
            self.context
                .exported
                .borrow_mut()
                .shift_remove(&target.name);
        }
    }

    pub(super) fn import_names(&self, import: &FromImport, pos: Pos) -> Result<()> {
        let (template, module) =
            self.imported(&import.template, import.with_context, &import.locals)?;
        for (name, alias) in &import.names {
            let value = module.exports.get(name).cloned().unwrap_or_else(|| {
                let from = template.source.name.as_deref().unwrap_or("None");
                let hint = format!(
                    "the template {} (imported on {}) does not export the requested name {}",
                    repr_str(from),
                    self.position(pos),
                    repr_str(name)
                );
                let undefined = Undefined::hint(self.rt.undefined_kind(), hint);
                Value::Undefined(Rc::new(undefined))
            });
            self.bind_import(alias, value, import.toplevel);
        }
        Ok(())
    }
}

/// Whether choosing among templates goes on after this error.
fn is_missing(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::NotFound | Kind::NoneFound | Kind::Undefined
    ) && error.trace().is_empty()
}

/// An imported template.
struct ModuleObject {
    name: Option<Rc<str>>,
    module: Rc<Module>,
}

impl Object for ModuleObject {
    fn type_name(&self) -> &str {
        "TemplateModule"
    }

    fn type_repr(&self) -> String {
        "jinja2.environment.TemplateModule object".to_owned()
    }

    fn attribute(&self, _: &Runtime<'_>, name: &str) -> Result<Option<Value>> {
        Ok(self.module.exports.get(name).cloned())
    }

    fn repr(&self) -> Result<String> {
        Ok(match &self.name {
            Some(name) => format!("<TemplateModule {}>", repr_str(name)),
            None => "<TemplateModule memory:0x7f0000000000>".to_owned(),
        })
    }

    fn str(&self) -> Result<String> {
        Ok(self.module.body.text.clone())
    }

    fn is_markup(&self) -> bool {
        true
    }
}

/// The text of a template that was run for its output, with its origins.
pub(super) fn body_text(module: &Module) -> Str {
    let body = &module.body;
    Str::traced(body.text.as_str(), false, body.spans.clone())
}
