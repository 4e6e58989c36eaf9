//! Live data, keys, and lists that do not move, in a browser.

use harness::World;
use serde_json::json;

use super::{session, tell};
use crate::populated::{Populated, populated};

#[tokio::test]
async fn live_data_stops_while_nobody_looks_and_keys_open_pages() {
    if let Some(tools) = harness::tool("TEST_BROWSER") {
        let Populated { world, root, .. } = populated(World::builder()).await;
        let session = session(&world, &root).await;
        let facts = json!({ "url": world.url(), "session": session, "issuer": world.issuer().url() });
        tell(&tools, "live", &facts).await;
    }
}
