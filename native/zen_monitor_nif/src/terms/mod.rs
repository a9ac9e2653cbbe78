//! What the VM's terms look like, and how they are read, made and sent.

pub mod atoms;
pub mod etf;
pub mod heap;
pub mod message;
pub mod numbering;
pub mod origin;
pub mod parts;
pub mod reason;
pub mod shape;
pub mod truncation;
pub mod weighing;
pub mod word;
