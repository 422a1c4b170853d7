//! Prints values.

use crate::jinja::ast::{Piece, Pos};
use crate::jinja::rendered::Output;
use crate::jinja::value::Value;
use crate::jinja::{Error, Kind, Result, salt};

use super::Run;

impl Run<'_, '_> {
    pub(super) fn output(&self, pieces: &[Piece], out: &mut Output) -> Result<()> {
        if self.parent.borrow().is_some() && !self.capturing.get() {
            // Only blocks of a template that extends another are shown.
            return Ok(());
        }
        for piece in pieces {
            match piece {
                Piece::Data { text, pos } => {
                    self.check_size(out, text.len())?;
                    out.push(text, self.span(*pos, true));
                }
                Piece::Expr(expr) => {
                    self.at(expr.pos);
                    let value = self.eval(expr)?;
                    self.write(&value, expr.pos, out)
                        .map_err(|error| error.at_pos(expr.pos))?;
                }
            }
        }
        Ok(())
    }

    /// Prints a value.
    pub(super) fn write(&self, value: &Value, pos: Pos, out: &mut Output) -> Result<()> {
        if let Value::Str(text) = value
            && (text.is_markup() || !self.rt.autoescape())
        {
            self.check_size(out, text.len())?;
            if text.spans().is_empty() {
                out.push(text, self.span(pos, false));
            } else {
                out.push_traced(text, text.spans());
            }
            return Ok(());
        }
        let text = if self.rt.environment().is_salt() {
            salt::printed(value)?
        } else {
            value.str()?
        };
        let safe = matches!(value, Value::Object(object) if object.is_markup());
        let text = if self.rt.autoescape() && !safe {
            crate::jinja::filters::escape_text(&text)
        } else {
            text
        };
        self.check_size(out, text.len())?;
        out.push(&text, self.span(pos, false));
        Ok(())
    }

    /// Prints what a filter or call block gave, which Jinja neither finalises
    /// nor escapes.
    pub(super) fn write_as_it_is(&self, value: &Value, pos: Pos, out: &mut Output) -> Result<()> {
        let Value::Str(text) = value else {
            // Python numbers the pieces it joins as Jinja's compiler cut them.
            let name = value.type_name();
            let message = format!("sequence item 0: expected str instance, {name} found");
            return Err(Error::type_error(message));
        };
        self.check_size(out, text.len())?;
        if text.spans().is_empty() {
            out.push(text, self.span(pos, false));
        } else {
            out.push_traced(text, text.spans());
        }
        Ok(())
    }

    fn check_size(&self, out: &Output, more: usize) -> Result<()> {
        let limit = self.rt.environment().options().limits.output;
        if out.text.len().saturating_add(more) > limit {
            return Err(Error::new(Kind::Limit, "the template makes too much text"));
        }
        self.rt.charge(more / 32)
    }
}
