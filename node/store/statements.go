package store

// The statements that each pool prepares when the store is opened.

func writerSQL() []string {
	list := []string{
		lockSequence, saveSequence,
		changeRecord, changeID, addSource, findSource, sourceName,
		addCount, newCount,
		removeKey,
		addRange, rangesOf, removeRanges, addLevel, newLevel, emptyLevel,
		keepAsk, askDigest, forgetAsks,
		addPassage,
	}
	for _, n := range bulkSizes {
		list = append(list, findRecords.queries[n], addRecords.queries[n], addIDs.queries[n], addKeys.queries[n])
	}
	return list
}

func readerSQL() []string {
	list := []string{
		getRecord, listRecords, listSource, sourceIDs, changes, changesOf,
		countAll, countSource,
		recallAsk, listPassages,
		integrity,
	}
	for _, n := range lookupSizes {
		list = append(list, lookupQueries[n])
	}
	for _, v := range invariants {
		list = append(list, v.query)
	}
	return list
}
