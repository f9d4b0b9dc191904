//! The `scitq` program; everything is in the library.

fn main() -> std::process::ExitCode {
    scitq::cli::main()
}
