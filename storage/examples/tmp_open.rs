#![allow(clippy::all, clippy::unwrap_used, clippy::print_stdout)]
use whimbrel_storage::*;
use std::time::Instant;
fn main() {
    let d = "/tmp/tmpopen"; let _ = std::fs::remove_dir_all(d);
    for _ in 0..6 {
        let t = Instant::now();
        let s = EmbeddedStore::open(EmbeddedConfig::new(d)).unwrap();
        let o = t.elapsed();
        drop(s);
        println!("open {o:?} drop {:?}", t.elapsed() - o);
    }
}
