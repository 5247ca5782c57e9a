//! As whom the bearer of a bare key asks: two headers, read and documented once for every operation that takes them.

use axum::{extract::FromRequestParts, http::request::Parts};
use meet_api::{Kind, text::UserName};
use percent_encoding::percent_decode;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::{
    app::App,
    edge::Refusal,
    error::Error,
    tokens::{KIND_HEADER, NAME_HEADER, Named},
};

/// As whom the caller asks, where a bare key has to say.
pub(super) struct As(pub(super) Named);

/// As whom the caller asks, where a bare key may ask as nobody.
pub(super) struct AsMaybe(pub(super) Named);

impl FromRequestParts<App> for AsMaybe {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        As::from_request_parts(parts, app).await.map(|As(named)| Self(named))
    }
}

impl FromRequestParts<App> for As {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let name = parts.headers.get(NAME_HEADER).map(|name| {
            let text = percent_decode(name.as_bytes()).decode_utf8();
            let text = text.map_err(|_| Error::Invalid(format!("{NAME_HEADER} must be percent-encoded UTF-8")))?;
            Ok::<_, Error>(UserName::parse(NAME_HEADER, &text)?)
        });
        let kind = parts.headers.get(KIND_HEADER).map(|kind| {
            let kind = kind.to_str().ok().and_then(Kind::from_word);
            kind.ok_or_else(|| Error::Invalid(format!("{KIND_HEADER} must be human or agent")))
        });
        Ok(Self(Named { name: name.transpose()?, kind: kind.transpose()? }))
    }
}

impl IntoParams for As {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        headers("Required with an API key: a name, percent-encoded where it is not ASCII.")
    }
}

impl IntoParams for AsMaybe {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        headers("With an API key: for whom of its users this is; a name, percent-encoded where it is not ASCII.")
    }
}

/// The two headers, `name` saying what the first is for.
fn headers(name: &str) -> Vec<Parameter> {
    let header = |name, schema: RefOr<Schema>, sentence: &str| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
        parameter.required(Required::False).schema(Some(schema)).description(Some(sentence)).build()
    };
    let kind = Ref::from_schema_name(Kind::name());
    vec![
        header(NAME_HEADER, String::schema(), name),
        header(KIND_HEADER, kind.into(), "With an API key: `human` when absent."),
    ]
}
