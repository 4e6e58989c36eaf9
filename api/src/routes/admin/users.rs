//! Administration of users: list and show.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod sessions;
pub(crate) mod view;

use axum::{Json, extract::State};
use domain::{Problem, UserId};
use store::UserFilter;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(in crate::routes) use self::create::draft_of_person;
pub(crate) use self::view::UserView;
use crate::{
    app::AppState,
    body::{Id, Params},
    caller::SeesAll,
    error::ApiResult,
    filters::name_search,
    lists::Listing,
    openapi::problems,
    page::{list_body, list_params, only_active},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create::create, list))
        .routes(routes!(show, change::patch, change::put, change::deactivate))
        .routes(routes!(change::activate))
        .routes(routes!(change::unbind))
        .routes(routes!(sessions::list, sessions::end_all))
        .routes(routes!(sessions::end_one))
}

list_params! {
    /// Filters of the list of users.
    UserParams {
        /// Only active users.
        active_only: bool = bool,
        /// The opposite of `active_only`.
        include_inactive: bool = bool,
        /// Only with this text in e-mail address, display name or subject; 1 to 100 characters, in any case.
        q: String = String,
    }
}

list_body! {
    /// A page of users.
    UserList { users: UserView }
}

problems! {
    ListProblems: AdminRequired, ValidationFailed;
    ShowProblems: AdminRequired, NotFound;
}

/// List all users.
///
/// For admins and viewers, newest first. The list includes deactivated users unless `active_only` is true.
#[utoipa::path(
    get, path = "/admin/users", tag = "admin", params(UserParams),
    responses((status = 200, description = "Newest first", body = UserList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<UserParams>,
) -> ApiResult<Listing<UserList>> {
    let page = params.page()?;
    let filter = UserFilter {
        active_only: only_active(params.active_only, params.include_inactive)?,
        search: name_search(params.q.as_deref())?,
    };
    let mut lists = app.lists(&caller).await?;
    let listed = lists.users().list(&filter, page).await;
    lists.respond(listed, UserList::new)
}

/// Show a user.
///
/// For admins and viewers.
#[utoipa::path(
    get, path = "/admin/users/{user_id}", tag = "admin", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "The user", body = UserView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    _: SeesAll,
    Id(id): Id<UserId>,
) -> ApiResult<Json<UserView>> {
    let user = app.store.conn().await?.users().get(id).await?;
    Ok(Json(user.ok_or_else(|| Problem::not_found("user"))?.into()))
}
