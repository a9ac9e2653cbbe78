//! Ids of sharded slabs: 32 bits that name a shard and a place in its slab.

/// The ids of a table of `SHARDS` shards.
///
/// ```
/// use zen_monitor_core::structures::ids::Ids;
///
/// let id = Ids::<256>::of(7, 40);
/// assert_eq!((Ids::<256>::shard(id), Ids::<256>::local(id)), (7, 40));
/// assert_eq!(Ids::<256>::MOST, (1 << 24) - 1);
/// ```
pub struct Ids<const SHARDS: usize>;

impl<const SHARDS: usize> Ids<SHARDS> {
    /// How many places a shard may have. No id is `u32::MAX`, which marks the end of a list and the empty
    /// place of a queue.
    pub const MOST: u32 = u32::MAX / SHARDS as u32;
    /// How many bits a place has. `SHARDS` is a power of two.
    pub const BITS: u32 = u32::BITS - SHARDS.trailing_zeros();
    /// How many bytes a place takes.
    pub const BYTES: usize = Self::BITS.div_ceil(8) as usize;

    /// The id of a place in a shard. The place must be below [`Ids::MOST`].
    #[inline]
    pub fn of(shard: usize, local: u32) -> u32 {
        local * SHARDS as u32 + shard as u32
    }

    /// The shard of an id.
    #[inline]
    pub fn shard(id: u32) -> usize {
        id as usize % SHARDS
    }

    /// The place of an id in its shard.
    #[inline]
    pub fn local(id: u32) -> u32 {
        id / SHARDS as u32
    }
}
