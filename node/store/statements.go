package store

// The statements that each pool prepares when the store is opened.

func writerSQL() []string {
	list := []string{
		lockSequence, saveSequence, countCommit,
		changeRecord, changeID, addSource, findSource, sourceName, readBody, eraseInPlace,
		addCount, newCount,
		getKeyRow, changeKeyRow, removeKeyRow,
		removeKey, removeBlock,
		putState, deleteState,
	}
	for _, b := range []bulk{findRecords, addRecords, addIDs, addKeys, addBlocks, addKeyRows} {
		list = append(list, b.all()...)
	}
	return list
}

func readerSQL() []string {
	list := []string{
		getRecord, listRecords, listSource, sourceKeys, changes, changesOf, stillThere,
		countAll, countSource, countLive,
		listKeyRows, keysIntact, listSources,
		getState, listState, allState,
		integrity, schemaNow, walkRecords, walkKeys, walkBlocks, countRows,
	}
	for _, b := range []bulk{findKeys, findBlocks, findFillers, findBodies} {
		list = append(list, b.all()...)
	}
	for _, q := range lookupQueries {
		list = append(list, q)
	}
	for _, v := range invariants {
		list = append(list, v.query)
	}
	return list
}
