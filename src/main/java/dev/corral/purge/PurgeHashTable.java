package dev.corral.purge;

import java.util.concurrent.atomic.AtomicLongArray;

/**
 * The last purge positions of very many names in a fixed amount of memory: 16 MB. A name is a 64-bit hash, and has one of 16 slots
 * in one of 65,536 buckets. In a full bucket the oldest position gives way, and counts from then on for every name of that bucket:
 * so it purges too much, in that bucket only, and never too little. At 500,000 names 1 bucket in 250 is so; at 300,000 next to none.
 *
 * <p>One thread writes at a time, and any number reads meanwhile without a lock.
 */
final class PurgeHashTable {

    private static final int BUCKET_COUNT = 1 << 16;
    private static final int SLOTS_PER_BUCKET = 16;

    // Hash and position of each slot; a hash of 0 is an empty slot.
    private final AtomicLongArray slots = new AtomicLongArray(BUCKET_COUNT * SLOTS_PER_BUCKET * 2);
    // For every name of a bucket.
    private final AtomicLongArray bucketFloors = new AtomicLongArray(BUCKET_COUNT);

    /** The last position of the name; that of another name of the same bucket if that one has given way; 0 when there is none. */
    long positionOf(String name) {
        long hash = hashOf(name);
        int bucket = bucketOf(hash);
        long position = 0;
        for (int slot = firstSlot(bucket); slot < firstSlot(bucket + 1); slot += 2) {
            if (slots.get(slot) == hash) {
                position = slots.get(slot + 1);
                break;
            }
        }
        // After the slots: what gives way is in the floor before it leaves its slot.
        return Math.max(position, bucketFloors.get(bucket));
    }

    /** The name was purged at this position; an earlier one than known changes nothing. */
    void put(String name, long position) {
        long hash = hashOf(name);
        int bucket = bucketOf(hash);
        int oldest = firstSlot(bucket);
        for (int slot = firstSlot(bucket); slot < firstSlot(bucket + 1); slot += 2) {
            long there = slots.get(slot);
            if (there == hash || there == 0) {
                // Position first: who sees the hash sees the position.
                slots.set(slot + 1, Math.max(position, slots.get(slot + 1)));
                slots.set(slot, hash);
                return;
            }
            oldest = slots.get(slot + 1) < slots.get(oldest + 1) ? slot : oldest;
        }
        if (position <= slots.get(oldest + 1)) {
            bucketFloors.set(bucket, Math.max(position, bucketFloors.get(bucket)));
            return;
        }
        bucketFloors.set(bucket, Math.max(slots.get(oldest + 1), bucketFloors.get(bucket)));
        slots.set(oldest + 1, position);
        slots.set(oldest, hash);
    }

    private static int firstSlot(int bucket) {
        return bucket * SLOTS_PER_BUCKET * 2;
    }

    private static int bucketOf(long hash) {
        return (int) (hash >>> 48);
    }

    /** FNV-1a over the characters, then the finalizer of SplitMix64, so that each bit of the bucket depends on all. Never 0. */
    private static long hashOf(String name) {
        long hash = 0xcbf29ce484222325L;
        for (int i = 0; i < name.length(); i++) {
            hash = (hash ^ name.charAt(i)) * 0x100000001b3L;
        }
        hash = (hash ^ (hash >>> 30)) * 0xbf58476d1ce4e5b9L;
        hash = (hash ^ (hash >>> 27)) * 0x94d049bb133111ebL;
        hash ^= hash >>> 31;
        return hash == 0 ? 1 : hash;
    }
}
