//! Pages of lists, newest rows first.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Problem;
use store::Page;
use uuid::Uuid;

/// Default number of rows per page.
const DEFAULT_LIMIT: i64 = 100;
/// Maximum number of rows per page.
const MAX_LIMIT: i64 = 1000;

/// Parses the three page parameters.
pub(crate) fn parse_page(
    limit: Option<i64>,
    offset: Option<i64>,
    cursor: Option<&str>,
) -> Result<Page, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::field("query:limit", "1 to 1000"));
    }
    let offset = offset.unwrap_or(0);
    if !(0..=1_000_000).contains(&offset) {
        return Err(Problem::field("query:offset", "0 to 1000000; use cursor for longer lists"));
    }
    let before = cursor.map(parse_cursor).transpose()?;
    Ok(Page { limit, offset, before })
}

/// Returns whether a list leaves out deactivated rows, from `active_only` or its opposite `include_inactive`. By
/// default a list includes them.
///
/// # Errors
/// `validation_failed` when the two contradict each other.
pub(crate) fn only_active(
    active_only: Option<bool>,
    include_inactive: Option<bool>,
) -> Result<bool, Problem> {
    match (active_only, include_inactive) {
        (Some(active_only), Some(include_inactive)) if active_only == include_inactive => {
            Err(Problem::field("query:include_inactive", "contradicts active_only"))
        }
        (active_only, include_inactive) => {
            Ok(active_only.or(include_inactive.map(|include| !include)).unwrap_or(false))
        }
    }
}

fn parse_cursor(text: &str) -> Result<Uuid, Problem> {
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .ok_or_else(|| Problem::field("query:cursor", "not a valid next_cursor"))
}

/// Returns the cursor of the page after the one that ends with `last`.
pub(crate) fn encode_cursor(last: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(last.as_bytes())
}

/// Declares the query parameters of a list: its filters and the three of every page.
macro_rules! list_params {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty = $shape:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $name {
            $($(#[$fdoc])* #[param(value_type = Option<$shape>)] pub(crate) $field: Option<$type>,)*
            /// Rows per page, 1 to 1000.
            #[param(minimum = 1, maximum = 1000, default = 100)]
            pub(crate) limit: Option<i64>,
            /// Rows to skip.
            #[param(minimum = 0, maximum = 1_000_000, default = 0)]
            pub(crate) offset: Option<i64>,
            /// `next_cursor` of the previous page.
            pub(crate) cursor: Option<String>,
        }

        impl $name {
            pub(crate) fn page(&self) -> Result<store::Page, domain::Problem> {
                $crate::page::parse_page(self.limit, self.offset, self.cursor.as_deref())
            }
        }
    };
}
pub(crate) use list_params;

/// Declares the body of a list: rows under their plural name, `total`, whether it is a lower bound, and `next_cursor`.
macro_rules! list_body {
    ($(#[$doc:meta])* $name:ident { $plural:ident: $row:ty }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub(crate) struct $name {
            /// The rows, newest first.
            pub(crate) $plural: Vec<$row>,
            /// Number of rows on all pages, counted up to 10,000.
            pub(crate) total: i64,
            /// Whether more rows than `total` exist.
            pub(crate) total_is_lower_bound: bool,
            /// Cursor of the next page; null on the last one.
            pub(crate) next_cursor: Option<String>,
        }

        impl $name {
            pub(crate) fn new<T>(listed: store::Listed<T>) -> Self
            where
                $row: From<T>,
            {
                Self {
                    $plural: listed.items.into_iter().map(<$row>::from).collect(),
                    total: listed.total,
                    total_is_lower_bound: listed.total_is_lower_bound,
                    next_cursor: listed.next.map($crate::page::encode_cursor),
                }
            }
        }
    };
}
pub(crate) use list_body;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_bounds() {
        assert_eq!(parse_page(None, None, None).unwrap(), Page { limit: 100, offset: 0, before: None });
        for (limit, offset, cursor) in [
            (Some(-1), None, None),
            (Some(1001), None, None),
            (None, Some(-1), None),
            (None, None, Some("x")),
        ] {
            assert!(parse_page(limit, offset, cursor).is_err());
        }
    }

    #[test]
    fn inactive_rows_are_left_out_when_either_parameter_says_so() {
        assert_eq!(only_active(None, None), Ok(false));
        assert_eq!(only_active(Some(true), None), Ok(true));
        assert_eq!(only_active(None, Some(false)), Ok(true));
        assert_eq!(only_active(Some(false), Some(true)), Ok(false));
        assert!(only_active(Some(true), Some(true)).is_err());
    }

    #[test]
    fn cursor_is_parsed_back_to_its_row() {
        let id = Uuid::now_v7();
        assert_eq!(parse_page(None, None, Some(&encode_cursor(id))).unwrap().before, Some(id));
    }
}
