//! What a figure needs beside the load's own counts: processor time and memory of the server, and how busy the machine
//! was with other things.

pub mod cost;
pub mod descriptors;
pub mod figures;
pub mod machine;
pub mod process;
pub mod processors;
