//! Pages, one module for each family.

mod board;

use super::UiRoutes;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().merge(board::routes())
}
