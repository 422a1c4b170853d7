//! Salt's tags that read data: `load_yaml`, `import_yaml` and their kin.

use crate::jinja::ast::{Format, ImportData};
use crate::jinja::rendered::Output;
use crate::jinja::value::{Str, Value};
use crate::jinja::{Result, salt};

use super::{Run, SharedMacro, modules};

impl Run<'_, '_> {
    /// The data in the body of a `load_…` tag.
    pub(super) fn load_block(&self, format: Format, def: &SharedMacro) -> Result<Value> {
        let Output { text, spans } = self.make_macro(def).text(self.rt)?;
        self.parse_data(format, Str::traced(text, false, spans))
    }

    /// The data in a file, which is itself a template.
    pub(super) fn import_data(&self, import: &ImportData) -> Result<()> {
        let (_, module) = self.imported(&import.template, import.with_context, &import.locals)?;
        let value = self.parse_data(import.format, modules::body_text(&module))?;
        self.frame.set(import.target.slot, Some(value.clone()));
        if import.export {
            self.set_var(&import.target.name, value);
            if !import.target.name.starts_with('_') {
                let mut exported = self.context.exported.borrow_mut();
                exported.insert(import.target.name.clone());
            }
        }
        Ok(())
    }

    fn parse_data(&self, format: Format, text: Str) -> Result<Value> {
        match format {
            Format::Yaml => salt::load_yaml(self.rt, &text),
            Format::Json => salt::load_json(self.rt, &text),
            Format::Text => Ok(Value::Str(text)),
        }
    }
}
