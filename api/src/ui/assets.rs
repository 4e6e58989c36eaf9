//! Assets of the dashboard: embedded, hashed, and compressed once.

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{VerdictLevel, sha256_hex};
use flate2::Compression;

use super::{UiRoutes, compression, level};

/// Characters of a file's hash in its URL.
const HASH_LENGTH: usize = 12;
/// htmx starts by itself, so its extension must be in the same file.
const SCRIPT: &str = concat!(
    include_str!("../../assets/htmx.min.js"),
    "\n",
    include_str!("../../assets/hx-sse.min.js"),
    "\n",
    include_str!("../../assets/ui.js")
);

const CSS_TYPE: &str = "text/css; charset=utf-8";
const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";
const SVG_TYPE: &str = "image/svg+xml";

/// One file.
struct Asset {
    name: String,
    url: String,
    content_type: &'static str,
    plain: Bytes,
    gzip: Bytes,
}

/// URLs of the files that every page names.
#[derive(Debug)]
pub(crate) struct AssetUrls {
    /// Style sheet.
    pub(crate) css: &'static str,
    /// Script.
    pub(crate) script: &'static str,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let mut assets = vec![
        Asset::new("ui.css", CSS_TYPE, include_str!("../../assets/ui.css")),
        Asset::new("ui.js", SCRIPT_TYPE, SCRIPT),
    ];
    assets.extend(
        VerdictLevel::ALL
            .iter()
            .map(|level| Asset::new(&favicon_name(*level), SVG_TYPE, &level::favicon(*level))),
    );
    assets
});

impl Asset {
    fn new(name: &str, content_type: &'static str, text: &str) -> Self {
        let hash = sha256_hex(text.as_bytes());
        let url = format!("/assets/{}/{name}", &hash[..HASH_LENGTH]);
        let plain = Bytes::copy_from_slice(text.as_bytes());
        let gzip = compression::gzip(text.as_bytes(), Compression::best()).unwrap_or_default();
        Self { name: name.to_owned(), url, content_type, plain, gzip }
    }
}

fn favicon_name(level: VerdictLevel) -> String {
    format!("favicon-{level}.svg")
}

/// Returns the URL of a file, with its hash.
fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.url.as_str())
}

/// Returns the URLs of the files that every page names.
pub(crate) fn urls() -> AssetUrls {
    AssetUrls { css: url("ui.css"), script: url("ui.js") }
}

/// Returns the URL of the icon of the browser's tab for a level.
pub(crate) fn favicon(level: VerdictLevel) -> &'static str {
    url(&favicon_name(level))
}

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/assets/{hash}/{name}", serve)
}

/// Serves a file. A hash of another version gets the file of this one, which is then not kept: during an upgrade two
/// versions answer.
async fn serve(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let zipped = compression::accepts_gzip(&headers) && !asset.gzip.is_empty();
    let body = if zipped { asset.gzip.clone() } else { asset.plain.clone() };
    let mut response = body.into_response();
    let fits = asset.url.split('/').nth(2) == Some(hash.as_str());
    let keep = if fits { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if zipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_load_is_small() {
        let zipped: usize = ASSETS
            .iter()
            .filter(|asset| !asset.name.starts_with("favicon"))
            .map(|asset| asset.gzip.len())
            .sum();
        assert!(zipped < 40 * 1024, "{zipped} bytes");
        assert!(include_str!("../../assets/ui.js").len() <= 5 * 1024);
    }
}
