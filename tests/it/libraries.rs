//! What the program asks of a machine that it is copied to: a C library, and no database's or TLS library.

use std::process::Command;

/// Parts of the C library, of the compiler's own, and what the kernel and the loader put in.
const EVERYWHERE: [&str; 9] = [
    "linux-vdso.so",
    "linux-gate.so",
    "ld-linux",
    "libc.so",
    "libm.so",
    "libgcc_s.so",
    "libdl.so",
    "libpthread.so",
    "librt.so",
];

#[test]
fn the_program_needs_no_library_that_would_have_to_be_installed() {
    let Ok(told) = Command::new("ldd").arg(env!("CARGO_BIN_EXE_calljournal")).output() else {
        eprintln!("\n*** SKIPPED: there is no ldd; what the program needs was not looked at ***\n");
        assert!(std::env::var_os("CI").is_none(), "CI is set, so a skipped part is a failed part");
        return;
    };
    let said = String::from_utf8_lossy(&told.stdout);
    // Linked with musl it needs nothing, and ldd has nothing to tell.
    let is_static = String::from_utf8_lossy(&told.stderr).contains("not a dynamic executable");
    assert!(is_static || said.contains("libc.so"), "{said}");
    let needs = said.lines().filter_map(|line| line.split_whitespace().next());
    let more: Vec<&str> = needs
        .map(|library| library.rsplit('/').next().unwrap())
        .filter(|library| !EVERYWHERE.iter().any(|known| library.starts_with(known)))
        .collect();
    assert!(more.is_empty() || is_static, "{more:?} would have to be installed:\n{said}");
}
