//! `methods!`: the macro for what most handlers begin with.

/// Writes the first two items of an `impl RequestHandler`: the methods, and an `initialize`
/// that creates the fields, each by the `initialize` of its own type.
///
/// ```
/// use dustdevil::{Exchange, RequestHandler, Result, SessionHandler, methods};
///
/// struct VisitsHandler {
///     base: SessionHandler,
/// }
///
/// impl RequestHandler for VisitsHandler {
///     methods!(Get, Post; base: SessionHandler);
///
///     async fn get(&mut self, exchange: &mut Exchange) -> Result {
///         let visits = self.base.session.increment("visits", 1).await?;
///         exchange.write(format!("{}\n", visits.unwrap_or_default()))
///     }
/// }
/// ```
/// It stands for:
///
/// ```
/// # use dustdevil::{Exchange, Method, RequestHandler, Result, SessionHandler};
/// # struct VisitsHandler { base: SessionHandler }
/// # impl RequestHandler for VisitsHandler {
/// const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];
///
/// async fn initialize(exchange: &mut Exchange) -> Result<Self> {
///     Ok(Self { base: SessionHandler::initialize(exchange).await? })
/// }
/// # }
/// ```
/// For a handler without fields: `methods!(Get);`. In a tuple struct, the first field is `0`.
///
/// Of a base in a field, only `initialize` runs. The other hooks of the base run if the handler
/// forwards them. Without its `prepare`, this handler would be open to every client:
///
/// ```
/// use dustdevil::{Exchange, RequestHandler, Result, SessionHandler, methods};
///
/// /// A base with an access check.
/// struct MemberHandler(SessionHandler);
///
/// impl RequestHandler for MemberHandler {
///     methods!(Get; 0: SessionHandler);
///
///     async fn prepare(&mut self, exchange: &mut Exchange) -> Result {
///         self.0.authenticated(exchange).await.map(drop)
///     }
/// }
///
/// struct AccountHandler {
///     base: MemberHandler,
/// }
///
/// impl RequestHandler for AccountHandler {
///     methods!(Get; base: MemberHandler);
///
///     async fn prepare(&mut self, exchange: &mut Exchange) -> Result {
///         self.base.prepare(exchange).await
///     }
///
///     async fn get(&mut self, exchange: &mut Exchange) -> Result {
///         exchange.write("For members only.")
///     }
/// }
/// ```
#[macro_export]
macro_rules! methods {
    ($($method:ident),+ $(; $($field:tt: $base:ty),+)?) => {
        const SUPPORTED_METHODS: &'static [$crate::Method] = &[$($crate::Method::$method),+];

        async fn initialize(exchange: &mut $crate::Exchange) -> $crate::Result<Self> {
            let _ = &exchange;
            Ok(Self { $($($field: <$base>::initialize(exchange).await?),+)? })
        }
    };
}
