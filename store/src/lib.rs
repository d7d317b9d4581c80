//! What kthw remembers of a workspace: named records and logs, in a folder or in object storage; and the lock and the journal made of them.

mod folder;
mod hold;
pub mod journal;
pub mod lease;
mod memory;
mod name;
mod records;
mod s3;

pub use folder::{FolderRecords, make_folder};
pub use hold::Hold;
pub use journal::About;
pub use memory::MemoryRecords;
pub use name::{BadName, Name};
pub use records::{Condition, Record, Records, Version};
pub use s3::{BadAddress, Limits, S3Address, S3Records, Variables};
