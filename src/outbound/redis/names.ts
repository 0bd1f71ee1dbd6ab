/**
 * The names of everything in Redis. All have one hash tag, so that a cluster keeps them in one slot and a transaction may
 * use several. The number is the version of what is stored: brokers of another version do not read it.
 */
const tag = '{tb:1}'

/** A sealed token. @param name of its key, as `names` of the sealer returns it: it says nothing about the key */
export const valueName = (name: string): string => `${tag}:v:${name}`

/** The lease of an exchange: held by the replica that makes it. @param name as for {@link valueName} */
export const leaseName = (name: string): string => `${tag}:l:${name}`

/** The number of purges so far. */
export const sequenceName = `${tag}:seq`

/** A random value, made with the sequence. Another one shows that the store was emptied and the sequence began again. */
export const epochName = `${tag}:epoch`

/** The stream of purges. */
export const purgesName = `${tag}:purges`

/** The sorted set of the replicas, by the time of their last heartbeat. */
export const replicasName = `${tag}:replicas`

/** The channel for finished leases, purges and their confirmations. */
export const eventsChannel = `${tag}:events`
