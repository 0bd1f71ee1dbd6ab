/** The parts of the output, in order, with their headings. */
export const sections = {
  settings: 'Settings',
  network: 'Way to Entra',
  identity: 'Managed identity',
  tenants: 'Tenants',
  federation: 'Federated credential',
  consent: 'Consent',
  issuers: 'Issuers of callers',
  redis: 'Redis',
} as const

/** A part of the output. */
export type Section = keyof typeof sections

/** One check, as docs/doctor.md describes it. */
export interface CheckRow {
  readonly section: Section
  /** What it checks, and what it means that it failed. */
  readonly meaning: string
  /** What to do. The output has the exact values. */
  readonly remedy: string
}

const row = (section: Section, meaning: string, remedy: string): CheckRow => ({ section, meaning, remedy })

/** Every check, in the order in which they are made. The ids are stable: programs read them in the JSON. */
export const checkTable = {
  'settings.environment': row(
    'settings',
    'the environment variables are those with which `serve` starts; each error has a line',
    'set or correct the variable that the line names',
  ),
  'settings.policy': row(
    'settings',
    'the file of `BROKER_POLICY_FILE` can be read, and is a valid policy; each error has a line',
    'correct the place that the line names, and run `token-broker policy check`',
  ),
  'settings.tenant': row(
    'settings',
    'only with `--tenant NAME`: the policy has a tenant of this name',
    'use a name below `tenants`, or an id',
  ),
  'settings.certificate': row(
    'settings',
    'the key of `TLS_KEY_FILE` belongs to the certificate of `TLS_CERT_FILE`, which has not ended; a warning if it ends within 14 days',
    'replace both files',
  ),
  'settings.client-ca': row(
    'settings',
    'the file of `TLS_CLIENT_CA_FILE` has CA certificates; a warning if one has ended or ends within 14 days',
    'replace the file',
  ),
  'settings.callers': row(
    'settings',
    'warnings about API keys that have expired or expire within 14 days, and about issuers and callers that match nothing',
    'create another key with `token-broker key new`, or correct the policy',
  ),
  'network.proxy': row(
    'network',
    'with `HTTPS_PROXY`: the proxy connects to the host of `BROKER_AUTHORITY`',
    'correct its address and password, have its operator allow the host, or add the host to `NO_PROXY`',
  ),
  'network.dns': row(
    'network',
    'DNS resolves the host of `BROKER_AUTHORITY`',
    'correct the DNS server of the network, or the host',
  ),
  'network.tcp': row('network', 'a TCP connection to it can be made', 'allow it in the firewall'),
  'network.tls': row(
    'network',
    'its certificate is trusted. If a proxy inspects TLS, the line has the issuer of the certificate',
    'add the CA of that proxy with `NODE_EXTRA_CA_CERTS`',
  ),
  'network.https': row(
    'network',
    'Entra responds to a request without a credential, over the connections that `serve` uses',
    'find out what responds in its place',
  ),
  'network.clock': row(
    'network',
    'the clock of this machine differs from the header `Date` of Entra by at most 5 seconds; it fails from 120 seconds on',
    'set the clock of the host by NTP',
  ),
  'identity.endpoint': row(
    'identity',
    'the platform has set `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`, or the variables of AKS workload identity',
    'assign the identity to the app, with a lifecycle that includes the main container, and restart the replica',
  ),
  'identity.token': row(
    'identity',
    'the identity endpoint issues a token, or the file of the service account has one',
    'correct `BROKER_IDENTITY_CLIENT_ID`, or assign the identity and restart the replica',
  ),
  'identity.claims': row(
    'identity',
    'the token is a v2.0 token of this identity for `BROKER_IDENTITY_AUDIENCE`, and has not ended; the line has its issuer, subject and audience',
    'unset what was set in place of the platform, or correct the audience',
  ),
  'tenants.known': row(
    'tenants',
    'the open document of the tenant says that it exists, and that it is in the cloud of `BROKER_AUTHORITY`',
    'correct the id of the tenant, or remove it',
  ),
  'federation.credential': row(
    'federation',
    'a federated credential of the application fits the token of the identity, and the application is registered in the tenant of the identity',
    'create or change the federated credential with the command of the line; Entra takes minutes to apply it',
  ),
  'consent.token': row(
    'consent',
    'Entra issues a token for the application, or the agent identity, in the tenant; skipped for an agent identity that is in another tenant',
    'have an administrator of the tenant consent at the URL, enable the service principal, assign the role, or change the Conditional Access policy',
  ),
  'consent.permissions': row(
    'consent',
    'the token has permissions (`roles`); a warning if it has none',
    'add application permissions to the registration, and have the administrator consent again',
  ),
  'issuers.keys': row(
    'issuers',
    'the keys of the issuer can be fetched, or read from its file',
    'allow the connection, or use `jwksFile`, `jwksTokenFile` or `caFile`',
  ),
  'redis.key-ring': row(
    'redis',
    'the file of `BROKER_CACHE_KEY_FILE` is a key ring; a warning if other users can read it',
    'create a key with `token-broker key cache`, or correct the mode of the file',
  ),
  'redis.dns': row('redis', 'DNS resolves the host of `BROKER_REDIS_URL`', 'correct the host, or the DNS server'),
  'redis.tcp': row('redis', 'a TCP connection to it can be made', 'correct the port, or allow it in the firewall'),
  'redis.tls': row('redis', 'with `rediss://`: its certificate is trusted', 'set `BROKER_REDIS_CA_FILE`'),
  'redis.auth': row(
    'redis',
    'Redis accepts the credentials of `BROKER_REDIS_AUTH`',
    'correct the user and the password, or the access policy of the identity',
  ),
  'redis.server': row(
    'redis',
    'the server is a primary, and no Sentinel. The line has its version and mode; nodes of a cluster are followed',
    'use an address that follows the primary',
  ),
  'redis.commands': row(
    'redis',
    'the user may use all commands, keys and channels that replicas need, and the server takes writes. Nothing is written',
    'use the ACL line of docs/fleet.md, the address of the primary, or more memory',
  ),
  'redis.eviction': row(
    'redis',
    '`maxmemory-policy` is `volatile-ttl`, so that full memory removes the tokens that end first; a warning otherwise',
    'set it',
  ),
  'redis.latency': row(
    'redis',
    'the median of five requests is below 20 ms; a warning otherwise',
    'place Redis in the region and the network of the broker',
  ),
  'redis.replicas': row(
    'redis',
    'the key ring opens what other replicas write; listens for three seconds',
    'give all replicas the same key ring',
  ),
} as const satisfies Readonly<Record<string, CheckRow>>

/** The stable name of a check. */
export type CheckId = keyof typeof checkTable
