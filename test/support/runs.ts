const isFull = process.env['CI'] === 'true'

/** How often a property is tried: `full` times in CI (`CI=true`), a fifth of it otherwise, because a person waits. */
export const runs = (full: number): number => (isFull ? full : Math.ceil(full / 5))
