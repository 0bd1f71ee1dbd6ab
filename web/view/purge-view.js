/**
 * Purging a tenant, behind its name typed twice.
 * @import { Client, Purged, Snapshot } from '../model/responses.ts'
 */
import { plural } from '../model/format.js'
import { redisDownPurge } from '../model/upstream-findings.js'
import { ProblemError } from './client.js'
import { byId } from './dom.js'
import { problemParts } from './sign-in.js'

/**
 * Creates the view.
 * @param {Client} client
 */
export function createPurgeView(client) {
  const form = byId('purge-form', HTMLFormElement)
  const tenant = byId('purge-tenant', HTMLInputElement)
  const confirm = byId('purge-confirm', HTMLInputElement)
  const button = byId('purge-button', HTMLButtonElement)
  const result = byId('purge-result', HTMLElement)
  const isConfirmed = () => tenant.value !== '' && tenant.value === confirm.value
  const listening = new AbortController()
  const { signal } = listening
  form.addEventListener('input', () => (button.disabled = !isConfirmed()), { signal })
  const purge = async () => {
    if (!isConfirmed()) return
    const { value } = tenant
    form.reset()
    button.disabled = true
    result.textContent = `Purging ${value} …`
    try {
      result.textContent = purgedText(value, await client.purge({ tenant: value }))
    } catch (thrown) {
      result.replaceChildren(...(thrown instanceof ProblemError || thrown instanceof Error ? problemParts(thrown) : []))
    }
  }
  form.addEventListener(
    'submit',
    event => {
      event.preventDefault()
      void purge()
    },
    { signal },
  )
  const warning = byId('purge-warning', HTMLElement)
  return {
    /** @param {Snapshot} snapshot */
    show: ({ health }) => {
      const text = reachWarning(health.shared_cache)
      if (warning.textContent !== text) warning.textContent = text
      warning.hidden = text === ''
    },
    clear: () => {
      listening.abort()
      form.reset()
      button.disabled = true
      result.textContent = ''
    },
  }
}

/**
 * Whether a purge reaches less than all replicas.
 * @param {Snapshot['health']['shared_cache']} shared
 */
function reachWarning(shared) {
  if (!shared) return 'Without Redis, a purge reaches this replica only. Repeat it at each other replica.'
  return shared.status === 'failing' ? redisDownPurge : ''
}

/**
 * @param {string} tenant
 * @param {Purged} purged
 */
function purgedText(tenant, { dropped, replicas }) {
  const where = replicas === 'all' ? 'on all replicas' : 'on this replica only'
  return `Purged ${tenant} ${where}: ${plural(dropped, 'token')} removed here.`
}
