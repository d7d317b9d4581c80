//! What kthw remembers of a workspace: named records and logs, in a folder or in object storage.

mod hold;
pub mod journal;
pub mod lease;
mod memory;
mod name;
mod records;

pub use hold::{About, Hold};
pub use memory::MemoryRecords;
pub use name::{BadName, Name};
pub use records::{Condition, Record, Records, Version};
