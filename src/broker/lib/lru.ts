import { LRUCache } from 'lru-cache'

const one = (): number => 1

/**
 * An LRU of at most `max` entries, whose memory grows with what is in it. With lru-cache's own `max`, the arrays for all
 * entries are made at once: for the dozen stores of a broker, most of which stay empty, that took 10 ms of its start, and 3 MB.
 *
 * @param max a positive integer
 * @param dispose is called for each entry that leaves it, as by lru-cache
 */
export const createLru = <K extends {}, V extends {}>(max: number, dispose?: LRUCache.Disposer<K, V>): LRUCache<K, V> =>
  new LRUCache({ maxSize: max, sizeCalculation: one, ...(dispose && { dispose }) })
