import { here, lines, rate, unscraped, without, type Panel } from './panel.ts'

/** What each replica needs of its machine. */
export const processPanels: readonly Panel[] = [
  ...[
    lines('Event loop delay', 's', '99th percentile since the last scrape.', [
      `token_broker_event_loop_delay_p99_seconds{${here}}`,
      '{{instance}}',
    ]),
    lines('CPU', 'percentunit', 'Share of one core.', [rate(`process_cpu_seconds_total{${here}}`), '{{instance}}']),
    lines(
      'Memory',
      'bytes',
      'Resident; of it, the JavaScript heap in use, and what its objects use outside of it. At the limit of the heap the process ends.',
      [`process_resident_memory_bytes{${here}}`, 'resident {{instance}}'],
      [`nodejs_heap_used_bytes{${here}}`, 'heap {{instance}}'],
      [`nodejs_external_memory_bytes{${here}}`, 'external {{instance}}'],
      [`nodejs_heap_limit_bytes{${here}}`, 'heap limit {{instance}}'],
    ),
    lines('Versions', 'short', 'Replicas of each version.', [
      `count by (version) (token_broker_build_info{${here}})`,
      '{{version}}',
    ]),
  ].map(panel => without(unscraped, panel)),
  without(
    'No exchange yet',
    lines('Clock offset', 's', 'How far the clock of each replica is ahead of that of Entra; below 0: behind.', [
      `token_broker_upstream_clock_offset_seconds{${here}}`,
      '{{instance}}',
    ]),
  ),
]

/** The policy, and what ends. */
export const policyPanels: readonly Panel[] = [
  without(
    unscraped,
    lines('Policy versions', 'short', 'Replicas that have each version of the policy active.', [
      `count by (sha256) (token_broker_policy_info{${here}})`,
      '{{sha256}}',
    ]),
  ),
  without(
    unscraped,
    lines('Policy file refused', 'short', '1 while the policy file is invalid and an older policy is active.', [
      `token_broker_policy_refused{${here}}`,
      '{{instance}}',
    ]),
  ),
  without(
    'The policy has no API keys',
    lines('API keys: days until they expire', 'short', 'By name of the key in the policy.', [
      `(min by (key) (token_broker_api_key_expiry_timestamp_seconds{${here}}) - time()) / 86400`,
      '{{key}}',
    ]),
  ),
  without(
    'No certificates: neither TLS_CERT_FILE nor TLS_CLIENT_CA_FILE is set',
    lines('Certificates: days until they expire', 'short', 'By kind and subject.', [
      `(min by (kind, name) (token_broker_certificate_expiry_timestamp_seconds{${here}}) - time()) / 86400`,
      '{{kind}} {{name}}',
    ]),
  ),
]
