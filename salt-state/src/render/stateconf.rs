//! The `stateconf` stage.

use super::{Output, RenderError, Template, World};

pub(super) fn render(
    world: &World<'_>,
    template: &Template<'_>,
    arguments: &str,
    text: &str,
    document: u32,
) -> Result<Output, RenderError> {
    let _ = (world, arguments, text, document);
    Err(RenderError::expected(format!(
        "{}: stateconf",
        template.path
    )))
}
