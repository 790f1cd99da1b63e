// Require this before Azurite. Its database looks up a blob by the first of several fields, the account, and so scans
// every blob for each request. With the name first, a test can create and read 100,000 blobs in minutes.
// @ts-expect-error: a dependency of Azurite, without types.
const { Collection } = require('lokijs')

const { findOne } = Collection.prototype
Collection.prototype.findOne = function (/** @type {Record<string, unknown>} */ query) {
  const { name, ...others } = query
  return findOne.call(this, name === undefined ? query : { name, ...others })
}
