//! `/ui/`: who comes with a browser, as to the original, is told what to type.

use axum::response::Html;

const PAGE: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>scitq</title>
<body style=\"font-family: sans-serif; max-width: 40em; margin: 4em auto\">
<h1>scitq</h1>
<p>The screens of this server are in the terminal. With scitq installed, type:</p>
<pre>scitq tui --server HOST:PORT</pre>
<p>On the server's own machine <code>scitq tui</code> is enough. It needs an access
token, as every command does: <code>SCITQ_TOKEN</code> or <code>SCITQ_TOKEN_FILE</code>.</p>
</body>
</html>
";

/// The one page. It says nothing about the server, so it needs no token.
pub(super) async fn page() -> Html<&'static str> {
    Html(PAGE)
}
