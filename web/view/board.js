/**
 * Everything that is visible while a user is signed in. It reads the broker again and again and shows what changed.
 * @import { Client, Snapshot } from '../model/responses.ts'
 */
import { clockTime } from '../model/format.js'
import { readSnapshot } from '../model/snapshot.js'
import { findings, verdict } from '../model/verdict.js'
import { NoResponseError, ProblemError } from './client.js'
import { createDecisionsView } from './decisions-view.js'
import { byId } from './dom.js'
import { createFactsView } from './facts-view.js'
import { createFailuresView } from './failures-view.js'
import { poll } from './poll.js'
import { createPurgeView } from './purge-view.js'
import { createRatesView } from './rates-view.js'
import { createTokensView } from './tokens-view.js'
import { createVerdictView } from './verdict-view.js'
import { createWayView } from './way-view.js'

/** So many first rounds in a row may be late: a broker that is slow is no reason to type a credential again. */
const lateRounds = 3

/**
 * Starts to read and show.
 *
 * @param {Client} client
 * @param {(error: ProblemError) => void} refused the credential is not accepted, or no longer
 * @returns {{ first: Promise<void>, close: () => void }} `first` settles with the first round; it rejects if that fails
 */
export function startBoard(client, refused) {
  const views = createViews(client)
  const first = Promise.withResolvers()
  /** @type {Snapshot | undefined} */
  let last
  /** @type {number | undefined} */
  let lostAt
  let isClosed = false
  let late = 0
  const round = async () => {
    try {
      const snapshot = await readSnapshot(client)
      if (isClosed) return
      last = snapshot
      lostAt = undefined
      views.show(snapshot)
      first.resolve(undefined)
    } catch (thrown) {
      if (isClosed) return
      if (last === undefined) {
        if (thrown instanceof NoResponseError && thrown.isLate && ++late < lateRounds) return
        return first.reject(thrown)
      }
      if (thrown instanceof ProblemError && [401, 403].includes(thrown.problem.status)) return refused(thrown)
      lostAt ??= last.now
      views.lost(thrown, lostAt)
    }
  }
  const polling = poll(round)
  return {
    first: first.promise,
    close: () => {
      isClosed = true
      polling.stop()
      views.clear()
    },
  }
}

/**
 * Whose state the page shows.
 * @param {Snapshot} snapshot
 */
function replicaText({ health: { replica, version, shared_cache } }) {
  const live = shared_cache?.live_replicas ?? 0
  return `This page shows replica ${replica}${live > 1 ? `, one of ${live}` : ' only'}. Version ${version}`
}

/** @param {Client} client */
function createViews(client) {
  const verdictView = createVerdictView()
  const parts = [createWayView(), createRatesView(), createFailuresView(), createFactsView()]
  const tokens = createTokensView(client)
  const decisions = createDecisionsView(client)
  const purge = createPurgeView(client)
  const updated = byId('updated', HTMLElement)
  const replica = byId('replica', HTMLElement)
  const board = byId('board', HTMLElement)
  return {
    /** @param {Snapshot} snapshot */
    show(snapshot) {
      const found = findings(snapshot)
      verdictView.show(verdict(found), found, snapshot.now)
      for (const part of parts) part.show(snapshot, found)
      decisions.show(snapshot)
      purge.show(snapshot)
      tokens.refresh(snapshot.cache.entries)
      updated.textContent = `Updated ${clockTime(snapshot.now, snapshot.now)} UTC`
      replica.textContent = replicaText(snapshot)
      board.classList.remove('stale')
    },
    /**
     * @param {unknown} error
     * @param {number} since
     */
    lost(error, since) {
      board.classList.add('stale')
      verdictView.lost(error, since)
    },
    clear() {
      verdictView.clear()
      for (const part of [...parts, tokens, decisions, purge]) part.clear()
      updated.textContent = ''
      replica.textContent = ''
      board.classList.remove('stale')
    },
  }
}
