//! Hashing that keeps neighbours together.
//!
//! Processes are spawned and references made in sequence, and are often monitored in sequence too.
//! So the keys of a block of [`BLOCK`] neighbours share a shard and lie side by side in its table: one
//! cache miss brings in the next fifteen ids. The blocks themselves are scattered as in any hash table. If
//! every key is scattered instead, a million monitors take four times as long.

/// Neighbouring keys that stay together.
pub const BLOCK: u32 = 64;

/// The hash of a key. Neighbours differ in `sequence` and have the same `rest`.
///
/// The low bits give the place in a table, and the top seven the tag by which `hashbrown` filters. [`shard`]
/// uses bits between the two.
#[inline]
pub fn hash(rest: u64, sequence: u32) -> u64 {
    let block = mix(rest ^ mix(u64::from(sequence / BLOCK)));
    let offset = u64::from(sequence % BLOCK);
    // The offset is added, not put in the low bits: else keys that are whole blocks apart would all begin at
    // the same few places.
    block.wrapping_add(offset) ^ (offset << 57)
}

/// The shard of a hash. `shards` is a power of two of at most 2^16.
#[inline]
pub fn shard(hash: u64, shards: usize) -> usize {
    (hash >> 40) as usize & (shards - 1)
}

#[inline]
fn mix(value: u64) -> u64 {
    // The multiplication by an odd constant spreads bits upwards. Folding the upper half in spreads them
    // downwards.
    let product = u128::from(value ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbours_share_a_shard_and_lie_side_by_side() {
        let hashes: Vec<u64> = (640..704).map(|sequence| hash(5, sequence)).collect();
        for pair in hashes.windows(2) {
            assert_eq!(shard(pair[0], 1024), shard(pair[1], 1024));
            assert_eq!((pair[0] + 1) % 4096, pair[1] % 4096);
            assert_ne!(pair[0] >> 57, pair[1] >> 57);
        }
    }

    #[test]
    fn a_stride_of_whole_blocks_is_scattered() {
        let places: HashSet<u64> = (0..1_000).map(|n| hash(0, n * BLOCK) % 4096).collect();
        assert!(places.len() > 800, "{}", places.len());
    }

    #[test]
    fn blocks_are_spread_evenly() {
        let mut counts = vec![0usize; 256];
        let mut distinct = HashSet::new();
        for sequence in 0..256 * 6_400 {
            let hash = hash(0, sequence);
            counts[shard(hash, 256)] += 1;
            distinct.insert(hash);
        }
        assert_eq!(distinct.len(), 256 * 6_400);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 3_200 && *most < 10_400, "{least}..{most}");
    }
}
