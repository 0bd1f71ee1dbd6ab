/** Milliseconds between the end of a round of requests and the next one, while the page is visible and while it is not. */
export const pauses = { visible: 2_000, hidden: 10_000 }

/**
 * Repeats a round of requests until it is stopped. There is never more than one round at once. When the page becomes visible,
 * the next round begins at once.
 *
 * @param {() => Promise<void>} round must not reject
 * @returns {{ now: () => void, stop: () => void }} `now` begins the next round at once
 */
export function poll(round) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  let isRunning = false
  let isStopped = false
  const run = async () => {
    clearTimeout(timer)
    if (isRunning || isStopped) return
    isRunning = true
    await round()
    isRunning = false
    if (!isStopped) timer = setTimeout(start, document.hidden ? pauses.hidden : pauses.visible)
  }
  const start = () => void run()
  const shown = () => {
    if (!document.hidden) start()
  }
  document.addEventListener('visibilitychange', shown)
  start()
  return {
    now: start,
    stop: () => {
      isStopped = true
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', shown)
    },
  }
}
