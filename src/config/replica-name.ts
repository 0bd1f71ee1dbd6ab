import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

/**
 * Creates the name of this process among replicas: the host's name, so that people recognise it, and a random part, because
 * a restart is another replica. It has 1 to 64 letters, digits, `-` and `_`.
 */
export const replicaName = (): string =>
  `${hostname()
    .replaceAll(/[^\w-]/g, '-')
    .slice(0, 48)}-${randomBytes(4).toString('hex')}`
