import type { BrowserContext, CDPSession } from 'playwright-core'

/**
 * What an origin has stored in the browser, as the browser itself reports it: cookies, `localStorage`, `sessionStorage`
 * of this page, databases of IndexedDB, caches, and everything else that counts for the origin's quota.
 */
export async function storedBy(
  context: BrowserContext,
  session: CDPSession,
  origin: string,
): Promise<readonly string[]> {
  const storage = async (isLocalStorage: boolean): Promise<readonly string[]> => {
    const { entries } = await session.send('DOMStorage.getDOMStorageItems', {
      storageId: { securityOrigin: origin, isLocalStorage },
    })
    return entries.map(([name]) => `${isLocalStorage ? 'localStorage' : 'sessionStorage'} ${name}`)
  }
  const cookies = await context.cookies(origin)
  const { databaseNames } = await session.send('IndexedDB.requestDatabaseNames', { securityOrigin: origin })
  const { caches } = await session.send('CacheStorage.requestCacheNames', { securityOrigin: origin })
  const { usageBreakdown } = await session.send('Storage.getUsageAndQuota', { origin })
  return [
    ...cookies.map(({ name }) => `cookie ${name}`),
    ...(await storage(true)),
    ...(await storage(false)),
    ...databaseNames.map(name => `IndexedDB ${name}`),
    ...caches.map(({ cacheName }) => `cache ${cacheName}`),
    ...usageBreakdown.filter(({ usage }) => usage > 0).map(({ storageType }) => `storage ${storageType}`),
  ]
}
