//! Handlebars.
use crate::context::Context;
use crate::error::{Stage, TemplateError};
use crate::template::Options;
pub(crate) struct Set;
pub(crate) fn parse(_: &str, _: &[u8], _: &Options) -> Result<Set, TemplateError> {
    Ok(Set)
}
pub(crate) fn render<'a>(
    name: &str,
    _: &[u8],
    _: &Set,
    context: Context<'a>,
) -> (Context<'a>, Result<Vec<u8>, TemplateError>) {
    (
        context,
        Err(TemplateError {
            stage: Stage::Parse,
            name: name.to_owned(),
            line: 1,
            column: 0,
            within: String::new(),
            expression: String::new(),
            message: String::new(),
        }),
    )
}
