/** What {@link table} shows of one server. */
export interface Column {
  readonly name: string
  readonly burst: Storm & { readonly requests: number }
  readonly storm: Storm
  readonly due: Outage
  readonly ending: Outage
  /** Milliseconds until the client had a response. */
  readonly hung: number
  readonly tenants: number
  readonly rates: readonly [few: Rate, many: Rate]
  /** Resident megabytes with the tokens of all tenants. */
  readonly resident: number
}

/** Many requests at once. */
export interface Storm {
  readonly failures: number
  readonly longest: number
}

/** Requests while Entra does not respond well. */
export interface Outage {
  readonly failures: number
  readonly longest: number
  readonly requests: number
}

/** Cached tokens. */
export interface Rate {
  readonly perSecond: number
  /** Milliseconds of the server's CPU time, which other programs on a busy machine do not change. */
  readonly cpuEach: number
}

const whole = (value: number) => Math.round(value).toLocaleString('en')
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
const stormText = ({ failures, longest }: Storm) => `failures: ${failures}, longest wait: ${seconds(longest)}`
const outageText = ({ failures, longest, requests }: Outage) =>
  `failures: ${failures}, requests to Entra: ${requests}, longest wait: ${seconds(longest)}`

const rateText = ({ perSecond, cpuEach }: Rate) => `${whole(perSecond)}, each ${cpuEach.toFixed(2)} ms of CPU`

/** How much was measured. */
export interface Sizes {
  readonly burstCallers: number
  readonly stormTenants: number
  readonly patienceMs: number
  readonly firstTenants: number
  readonly rounds: number
}

/** The results as a Markdown table. */
export function table(
  columns: readonly Column[],
  { burstCallers, stormTenants, patienceMs, firstTenants, rounds }: Sizes,
): string {
  const most = columns[0]?.tenants ?? 0
  const rows: readonly (readonly [load: string, cell: (column: Column) => string])[] = [
    [
      `${whole(burstCallers)} concurrent requests for one key that is not cached, Entra takes 200 ms`,
      ({ burst }) => `requests to Entra: ${burst.requests}, ${stormText(burst)}`,
    ],
    [`${stormTenants} keys that are not cached at once, Entra takes 200 ms`, ({ storm }) => stormText(storm)],
    [
      'Entra returns 503, the token is due for refresh and lives for another hour: 100 requests in 2 s',
      ({ due }) => outageText(due),
    ],
    ['Entra returns 503, the token lives for another 299 s: 100 requests in 2 s', ({ ending }) => outageText(ending)],
    [
      'Entra accepts the request and never responds, no token is cached',
      ({ hung }) => (hung < patienceMs ? `response after ${seconds(hung)}` : `no response in ${seconds(patienceMs)}`),
    ],
    [`cache hits per second, ${whole(firstTenants)} tenants, best of ${rounds}`, ({ rates }) => rateText(rates[0])],
    [
      `cache hits per second, ${whole(most)} tenants, best of ${rounds}`,
      ({ rates, tenants }) => `${rateText(rates[1])}${tenants === most ? '' : ` (with ${whole(tenants)} tenants)`}`,
    ],
    ['resident memory then', ({ resident }) => `${whole(resident)} MB`],
  ]
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(['load', ...columns.map(({ name }) => name)]),
    line(['---', ...columns.map(() => '---')]),
    ...rows.map(([load, cell]) => line([load, ...columns.map(cell)])),
  ].join('\n')
}
