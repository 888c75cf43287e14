package dev.corral.purge;

import java.util.concurrent.atomic.AtomicLongArray;

/**
 * The last purge positions of very many names in a fixed amount of memory: 16 MB. A name is stored as a 64-bit hash, in one of
 * 16 slots of one of 65,536 buckets. In a full bucket the oldest position is replaced and becomes the bucket's floor, which
 * applies to every name of that bucket. So the table may purge too much, in that bucket only, and never too little. With
 * 500,000 names, 1 bucket in 250 has a floor; with 300,000 names, almost none.
 *
 * <p>One thread writes at a time; any number of threads read meanwhile without a lock.
 */
final class PurgeHashTable {

    private static final int BUCKET_COUNT = 1 << 16;
    private static final int SLOTS_PER_BUCKET = 16;

    // Hash and position of each slot; a hash of 0 is an empty slot.
    private final AtomicLongArray slots = new AtomicLongArray(BUCKET_COUNT * SLOTS_PER_BUCKET * 2);
    // The floor of each bucket: the position that applies to all of its names.
    private final AtomicLongArray bucketFloors = new AtomicLongArray(BUCKET_COUNT);

    /** The last position of the name, or the floor of its bucket if that is later; 0 when there is neither. */
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
        // The floor is read after the slots: a replaced position is in the floor before it leaves its slot.
        return Math.max(position, bucketFloors.get(bucket));
    }

    /** Records that the name was purged at this position; a position earlier than the known one changes nothing. */
    void put(String name, long position) {
        long hash = hashOf(name);
        int bucket = bucketOf(hash);
        int oldest = firstSlot(bucket);
        for (int slot = firstSlot(bucket); slot < firstSlot(bucket + 1); slot += 2) {
            long slotHash = slots.get(slot);
            if (slotHash == hash || slotHash == 0) {
                // The position is written first: a reader that sees the hash also sees the position.
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
