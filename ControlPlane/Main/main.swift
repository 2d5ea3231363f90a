import ArgumentParser
print("weir")
