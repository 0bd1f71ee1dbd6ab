import { watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'

/** Milliseconds without a further change before a change is reported. */
const settleMs = 200
/** Milliseconds between two reports without a change. */
const pollMs = 60_000

/** A watch on files that may change. */
export interface FileWatch {
  /** Watches these files from now on, instead of the previous ones. */
  readonly follow: (files: readonly string[]) => void
  /** Stops watching. Nothing is reported afterwards. */
  readonly close: () => void
}

/**
 * Calls `changed` 200 ms after the last change in the folders of files, and once a minute without a change. It watches
 * folders, because Kubernetes replaces a Secret or ConfigMap by swapping a symbolic link: a watch on the file itself
 * would report the first swap only. The minute is for network file systems, which report no changes.
 *
 * @param changed must find out itself what changed, and must not throw
 * @param failed called if a folder cannot be watched; `changed` is still called once a minute
 */
export function watchFiles(files: readonly string[], changed: () => void, failed: (error: unknown) => void): FileWatch {
  const watchers = new Map<string, FSWatcher>()
  let pending: NodeJS.Timeout | undefined
  const schedule = (): void => {
    clearTimeout(pending)
    pending = setTimeout(changed, settleMs).unref()
  }
  const unwatch = (folder: string): void => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }
  const watchFolder = (folder: string): void => {
    try {
      const watcher = watch(folder, { persistent: false }, schedule)
      watchers.set(folder, watcher)
      watcher.on('error', error => {
        unwatch(folder)
        failed(error)
      })
    } catch (thrown) {
      failed(thrown)
    }
  }
  const follow = (wanted: readonly string[]): void => {
    const folders = new Set(wanted.map(file => dirname(file)))
    for (const folder of watchers.keys()) if (!folders.has(folder)) unwatch(folder)
    for (const folder of folders) if (!watchers.has(folder)) watchFolder(folder)
  }
  follow(files)
  const poll = setInterval(changed, pollMs).unref()
  return {
    follow,
    close: () => {
      clearTimeout(pending)
      clearInterval(poll)
      for (const folder of watchers.keys()) unwatch(folder)
    },
  }
}
