// To be required before Azurite: its database looks a blob up by the first of several fields, the account, and so
// at every blob there is for each request. By the name first, 100,000 of them can be made and read in minutes.
// @ts-expect-error: it is Azurite's, and has no types.
const { Collection } = require('lokijs')

const { findOne } = Collection.prototype
Collection.prototype.findOne = function (/** @type {Record<string, unknown>} */ query) {
  const { name, ...others } = query
  return findOne.call(this, name === undefined ? query : { name, ...others })
}
